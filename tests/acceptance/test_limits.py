"""Time limits as a user sees them: what hangs is dead-lettered in time, and everything else goes on."""

import re
import time

import pytest

from tests.acceptance.conftest import Write
from tests.support.amqp_client import Client, Received
from tests.support.ledger import Ledger
from tests.support.rabbitmq import Node

QUEUE = 'evt-source-event--service.work'
LIMITED = "[EventListener('source', 'event', route=Route('tasks.work', timeout_s=0.2))]"
#: What each target does that has to be ended, by the id of its message.
ODD = """\
import collections, itertools, signal
how = payload['id']
if how == 'wait':
    time.sleep(1000)
elif how == 'loop':
    while True: pass
elif how == 'loop_in_c':
    collections.deque(itertools.repeat(0), maxlen=0)
elif how == 'stop':
    os.kill(os.getpid(), signal.SIGSTOP)
elif how == 'swallow':
    try:
        time.sleep(1000)
    except BaseException:
        pass
elif how == 'ignore':
    while True:
        try: time.sleep(1)
        except BaseException: pass"""


def dead_letters(client: Client, count: int) -> list[Received]:
    """Take so many from the dead queue, which the service declares with the first one."""
    client.wait_for_counts(f'{QUEUE}.dead', ready=count)
    return client.take(f'{QUEUE}.dead', count)


def connections(node: Node, vhost: str) -> list[str]:
    """The connections of a vhost, by the broker's own ids."""
    name = ','.join(str(byte) for byte in vhost.encode())
    told = node.eval('rabbit_networking:connection_info_all([pid, vhost]).')
    return sorted(re.findall(rf'\{{pid, <([^>]+)>\}}, \{{vhost, #Bin<{name}>\}}', told))


def test_a_target_that_hangs_is_dead_lettered_and_the_others_go_on(
    mode: str, write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """In each mode; the letter says which limit it was, and where the target was."""
    with write(amqp_uri, mode, tasks=ledger.tasks(ODD), entrypoints=LIMITED) as program:
        program.wait_for('ready')
        for name in ('wait', 'fine-1', 'swallow', 'fine-2', 'fine-3'):
            amqp_client.publish('source.events', 'event', {'id': name}, message_id=name)
        ledger.wait_for('F', 4)  # the one that swallows it comes to its end
        dead = dead_letters(amqp_client, 2)
        assert sorted(letter.properties.message_id for letter in dead) == ['swallow', 'wait']
        for letter in dead:
            assert letter.headers['greenmicro.reason'] == 'time limit'
            assert 'longer than its limit of 0.2 s' in letter.headers['greenmicro.error']
            assert 'time.sleep(1000)' in letter.headers['greenmicro.traceback']
        assert program.stop() == 0
        assert not program.survivors()
    amqp_client.wait_for_counts(QUEUE, ready=0)


def test_what_does_not_heed_its_limit_is_killed_within_two_seconds_of_it(
    write: Write, ledger: Ledger, rabbitmq: Node, vhost: str, amqp_uri: str, amqp_client: Client
) -> None:
    """A loop in C, a stopped process, a target that ignores the error; the service itself feels nothing."""
    hang = ('loop_in_c', 'stop', 'ignore')
    tasks = ledger.tasks(ODD)
    with write(amqp_uri, 'process', tasks=tasks, entrypoints=LIMITED, MAX_WORKERS=4) as program:
        program.wait_for('ready')
        before = connections(rabbitmq, vhost)
        assert len(before) > 1
        for name in hang:
            amqp_client.publish('source.events', 'event', {'id': name}, message_id=name)
        ledger.wait_for('S', len(hang))
        began = time.monotonic()
        for number in range(20):
            amqp_client.publish('source.events', 'event', {'id': f'fine-{number}'})
        amqp_client.wait_for_counts(f'{QUEUE}.dead', ready=len(hang))
        assert time.monotonic() - began < 0.2 + 2
        dead = dead_letters(amqp_client, len(hang))
        ledger.wait_for('F', 20)
        assert sorted(letter.properties.message_id for letter in dead) == sorted(hang)
        assert {letter.headers['greenmicro.reason'] for letter in dead} == {'time limit'}
        program.wait_for(re.compile(r'worker process \d+ was lost: killed at its time limit'))
        assert connections(rabbitmq, vhost) == before
        assert program.stop() == 0
        assert not program.survivors()
    assert set(ledger.of('S').values()) == {1}


@pytest.mark.parametrize('place', ['thread', 'process'])
def test_a_stop_does_not_wait_for_more_than_the_limit(
    place: str, write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """What hangs at SIGTERM is ended by its limit, and settled; the stop is a clean one."""
    with write(amqp_uri, place, tasks=ledger.tasks(ODD), entrypoints=LIMITED) as program:
        program.wait_for('ready')
        amqp_client.publish('source.events', 'event', {'id': 'wait'})
        ledger.wait_for('S', 1)
        assert program.stop() == 0
        assert not program.survivors()
    amqp_client.wait_for_counts(f'{QUEUE}.dead', ready=1)
