"""A shop whose orders come as files: own Entrypoint, MessageTranslator, Worker and Dependency."""

import logging
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from folder import FolderEntrypoint

from greenmicro.dependencies import Dependency
from greenmicro.routes import Route
from greenmicro.runner import Runner
from greenmicro.translators import MessageTranslator
from greenmicro.workers import Worker

HERE = Path(__file__).parent
INBOX = HERE / 'inbox'
DATABASE = HERE / 'shop.db'

config = {'AMQP_URI': 'memory://', 'SERVICE_NAME': 'shop', 'WORKER_MODE': 'thread'}
logging.basicConfig(level=logging.INFO, format='%(message)s')
logger = logging.getLogger('shop')

SCHEMA = """
CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, amount INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sold (customer TEXT NOT NULL, item TEXT NOT NULL, amount INTEGER NOT NULL);
INSERT OR IGNORE INTO stock VALUES ('coffee', 5), ('tea', 10);
"""


class Session(Dependency):
    """Gives the target a connection to the database, in a transaction of its own.

    The transaction is committed when the target returns and rolled back when it raises. While one is open
    the target must do no other I/O: SQLite makes the next writer wait, and in thread mode all others with it.
    """

    def __init__(self, path):
        self.path = path

    def setup_worker(self):
        with closing(self.connect()) as connection:
            connection.executescript(SCHEMA)

    def connect(self):
        # IMMEDIATE: a transaction waits for the others at its beginning, where nothing is lost by it.
        return sqlite3.connect(self.path, timeout=10, isolation_level='IMMEDIATE')

    def provide(self, context):
        with closing(self.connect()) as connection, connection:
            yield connection


class OrderTranslator(MessageTranslator):
    """Makes one form of two: old tills write one `item` an order, and its `amount` as text."""

    def translate(self, payload, context):
        items = {payload['item']: payload['amount']} if 'item' in payload else payload['items']
        return {
            'customer': payload['customer'],
            'items': {item.lower(): int(amount) for item, amount in items.items()},
        }


class AuditedWorker(Worker):
    """Logs what became of each order, how long that took and in which process."""

    def run(self, message):
        began = time.monotonic()
        outcome = super().run(message)
        verdict = 'sold' if outcome.failure is None else f'refused ({outcome.failure.reason})'
        took_ms = (time.monotonic() - began) * 1000
        logger.info('%s: %s, %.1f ms, process %d', message.message_id, verdict, took_ms, os.getpid())
        return outcome


entrypoints = [
    FolderEntrypoint(
        INBOX,
        route=Route(
            'tasks.sell',
            dependencies={'session': Session(DATABASE)},
            translators=[OrderTranslator()],
            worker_class=AuditedWorker,
        ),
    )
]


def print_stock():
    with closing(sqlite3.connect(DATABASE)) as connection:
        for item, amount in connection.execute('SELECT item, amount FROM stock ORDER BY item'):
            print(f'{amount} of {item} are left')


if __name__ == '__main__':
    INBOX.mkdir(exist_ok=True)
    Runner(entrypoints, config).start()
    print_stock()
