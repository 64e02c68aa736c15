"""Whatever a peer sends, the service runs on, on the same connections, and its neighbours are untouched."""

import os
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.acceptance.conftest import MODES, Write
from tests.support.amqp_client import Client
from tests.support.hostile import BODIES_EACH, PROPERTIES_AND_BODIES, Hostile, bomb, bombs
from tests.support.ledger import Ledger
from tests.support.raw_amqp import RawPublisher, short

#: `FUZZ_MESSAGES=10000 FUZZ_SEED=5` sends more of them, and others.
COUNT = int(os.environ.get('FUZZ_MESSAGES', '600'))
SEED = int(os.environ.get('FUZZ_SEED', '1'))
QUEUE = 'evt-source-#--service.work'
DEAD = f'{QUEUE}.dead'
GOOD = Hostile(b'\x80\x00' + short(b'application/json'), b'{"good": true}')

#: Twice the largest body that is unpacked, and what a backlog of ordinary messages takes.
MOST_MEMORY = 2 * 64 * 1024 * 1024 + 40_000_000

ENTRYPOINTS = "[EventListener('source', '#', route=Route('tasks.work', {'key': RoutingKey()}))]"
IMPORTS = """
from greenmicro import Dependency

class RoutingKey(Dependency):
    def provide(self, context):
        yield context.message.routing_key
"""
TASKS = """\
import os

LEDGER = os.open({path!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def work(payload, key):
    os.write(LEDGER, f'F {{key}} {{os.getpid()}}\\n'.encode())
"""


class Sent:
    """What was published, and what of it the broker took.

    Attributes:
        taken: the routing keys of those, each used once.
        refused: how many it did not take.
    """

    def __init__(self, publisher: RawPublisher) -> None:
        self.taken: list[str] = []
        self.refused = 0
        self._publisher = publisher

    def send(self, kind: str, message: Hostile) -> None:
        key = f'{kind}.{len(self.taken)}'
        if self._publisher.publish('source.events', key, *message):
            self.taken.append(key)
        else:
            self.refused += 1


def send_all(sent: Sent, count: int) -> None:
    """Send hostile messages with good ones among them, and each kind of bomb."""
    for name, body in bombs().items():
        sent.send('bad', bomb(name, body))
        sent.send('good', GOOD)

    @seed(SEED)
    @settings(
        max_examples=count // BODIES_EACH,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(PROPERTIES_AND_BODIES)
    def send(drawn: tuple[bytes, list[bytes]]) -> None:
        properties, bodies = drawn
        for body in bodies:
            sent.send('bad', Hostile(properties, body))
        sent.send('good', GOOD)

    send()


def wait_until_settled(client: Client, ledger: Ledger, count: int) -> None:
    """Return when each message was finished or is dead."""
    deadline = time.monotonic() + 60 + count / 50
    while (seen := ledger.of('F').total() + client.queue_counts(DEAD)[0]) < count:
        assert time.monotonic() < deadline, f'{seen} of {count} settled'
        time.sleep(0.05)


def peak_memory(pid: int) -> int:
    """The most that a process has held at any time, in bytes."""
    status = Path(f'/proc/{pid}/status').read_text()
    return int(status.split('VmHWM:')[1].split()[0]) * 1024


@pytest.mark.parametrize('mode', MODES[::2])
def test_nothing_that_a_peer_sends_ends_the_service(
    mode: str, write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """Each is run once or dead-lettered once; no connection is lost, and no child; good ones are run once."""
    tasks = TASKS.format(path=str(ledger.path))
    amqp_client.declare_queue(DEAD)
    count = COUNT if mode == 'thread' else COUNT // 5
    with write(amqp_uri, mode, tasks=tasks, entrypoints=ENTRYPOINTS, imports=IMPORTS) as program:
        program.wait_for('ready')
        children = program.children()
        before = [peak_memory(pid) for pid in (program.pid, *children)]
        with RawPublisher(amqp_uri) as publisher:
            sent = Sent(publisher)
            send_all(sent, count)
        wait_until_settled(amqp_client, ledger, len(sent.taken))
        assert program.children() == children
        after = [peak_memory(pid) for pid in (program.pid, *children)]
        assert program.stop(30) == 0
        assert 'lost' not in program.output
    assert all(late - early < MOST_MEMORY for early, late in zip(before, after, strict=True))
    finished = ledger.of('F')
    letters = amqp_client.take(DEAD, amqp_client.queue_counts(DEAD)[0], timeout_s=120)
    dead = Counter(letter.headers.get('greenmicro.origin_routing_key') for letter in letters)
    assert set((finished + dead).values()) == {1}
    assert (finished + dead).keys() == set(sent.taken)
    assert {key for key in sent.taken if key.startswith('good')} <= finished.keys()
    assert amqp_client.queue_counts(QUEUE) == (0, 0)
    # The broker itself refuses some; if it refused most, this would show little.
    assert sent.refused < len(sent.taken) / 2
    assert len(dead) > len(sent.taken) / 10
