"""A user's own Entrypoint, MessageTranslator, Worker and Dependency, in all modes."""

import re
import shutil
import signal
import sqlite3
from contextlib import closing

import pytest

from tests.examples import EXAMPLES
from tests.support.program import Program

VERDICTS = {
    'order-1': 'sold',
    'order-2': 'sold',
    'order-3': 'refused (target error)',
    'order-4': 'refused (translator error)',
    'order-5': 'refused (undecodable body)',
}


@pytest.fixture
def shop(tmp_path):
    """The example, where it may leave its files."""
    ignored = shutil.ignore_patterns('inbox', 'shop.db', '__pycache__')
    return shutil.copytree(EXAMPLES / 'shop', tmp_path / 'shop', ignore=ignored)


def drop_samples(folder):
    """Put all sample orders into the inbox, each complete when it gets its name."""
    for sample in (folder / 'samples').iterdir():
        shutil.copy(sample, folder / 'inbox' / 'new').rename(folder / 'inbox' / sample.name)


def query(folder, statement):
    """The rows of a query on the shop's database."""
    with closing(sqlite3.connect(folder / 'shop.db')) as connection:
        return connection.execute(statement).fetchall()


@pytest.mark.parametrize('mode', ['thread', 'greedy_thread', 'process', 'greedy_process'])
def test_orders_are_sold_as_a_whole_or_not_at_all(mode, shop):
    """Good orders are committed, failed ones rolled back, and each file's name says which it was."""
    with Program(shop, environment={'GREENMICRO_WORKER_MODE': mode}) as program:
        program.wait_for('ready after')
        drop_samples(shop)
        for order in VERDICTS:
            program.wait_for(f'{order}.json: ')
        program.signal(signal.SIGINT)
        assert program.wait() == 0
        assert program.survivors() == []

    audited = re.findall(r'^(order-\d)\.json: (.+), [\d.]+ ms, process (\d+)$', program.output, re.MULTILINE)
    assert {order: verdict for order, verdict, _ in audited} == VERDICTS
    assert len(audited) == len(VERDICTS)
    here = {str(program.pid)} == {pid for _, _, pid in audited}
    assert here == ('thread' in mode)

    assert query(shop, 'SELECT * FROM sold ORDER BY customer, item') == [
        ('Ada', 'coffee', 1),
        ('Ada', 'tea', 2),
        ('Grace', 'tea', 3),
    ]
    assert program.output.endswith('4 of coffee are left\n5 of tea are left\n')
    assert sorted(file.name for file in (shop / 'inbox').iterdir()) == [
        'order-1.done',
        'order-2.done',
        'order-3.failed',
        'order-4.failed',
        'order-5.failed',
    ]
