"""A message that kills its process in thread mode: dead-lettered at its last death, its neighbours run."""

import pytest

from tests.acceptance.conftest import Write
from tests.support.amqp_client import Client
from tests.support.ledger import Ledger
from tests.support.rabbitmq import Node

#: The killer waits until its neighbours run beside it.
WORK = """\
if payload['id'] == 'killer':
    time.sleep(0.1)
    {end}
time.sleep(0.02)"""
NEIGHBOURS = 30
CRASHES = 3
PREFETCH = 10


@pytest.mark.parametrize(
    ('end', 'queue_type'),
    [
        ('import ctypes; ctypes.string_at(0)', 'classic'),
        ('os._exit(0)', 'quorum'),
        ('os.kill(os.getpid(), 9)', 'quorum'),
    ],
    ids=['segmentation fault', 'exit', 'kill'],
)
def test_a_killer_is_found(
    end: str, queue_type: str, write: Write, ledger: Ledger, rabbitmq: Node, vhost: str, amqp_uri: str,
    amqp_client: Client,
) -> None:  # fmt: skip
    """At its third death; all others are handled, none is dead-lettered, few run twice."""
    arguments = {'tasks': ledger.tasks(WORK.format(end=end)), 'QUEUE_TYPE': queue_type, 'PREFETCH': PREFETCH}
    queue = 'evt-source-event--service.work'
    deaths = 0
    for _ in range(CRASHES):
        with write(amqp_uri, 'thread', MAX_WORKERS=4, MAX_CRASHES=CRASHES, **arguments) as program:
            program.wait_for('ready')
            if not deaths:
                for number in range(NEIGHBOURS):
                    name = 'killer' if number == 4 else str(number)
                    amqp_client.publish('source.events', 'event', {'id': name}, message_id=name)
            program.wait()
            deaths += 1
    assert ledger.of('S')['killer'] == CRASHES
    with write(amqp_uri, 'thread', MAX_WORKERS=4, MAX_CRASHES=CRASHES, **arguments) as program:
        program.wait_for('3 times a process ended with it, run no more')
        ledger.wait_for('F', NEIGHBOURS - 1)
        amqp_client.wait_for_counts(f'{queue}.dead', ready=1)
        letter = amqp_client.get(f'{queue}.dead')
        assert program.stop() == 0
    assert letter.payload == {'id': 'killer'}
    assert letter.headers['greenmicro.reason'] == 'worker lost'
    assert letter.headers['greenmicro.crashes'] == CRASHES
    assert letter.headers['greenmicro.origin_exchange'] == 'source.events'
    assert 'killer' not in ledger.of('F')
    counts = rabbitmq.queues(vhost)
    assert counts[queue][:2] == (0, 0)
    assert counts[f'{queue}.dead'].ready == 0, 'no neighbour'
    again = ledger.of('S').total() - CRASHES - (NEIGHBOURS - 1)
    assert again <= CRASHES * PREFETCH
