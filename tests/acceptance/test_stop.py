"""The modes apart: what becomes of running and pending messages at SIGTERM."""

import signal
from pathlib import Path

import pytest

from tests.acceptance.conftest import Write
from tests.support.amqp_client import Client
from tests.support.ledger import Ledger
from tests.support.rabbitmq import Node

pytestmark = pytest.mark.usefixtures('measured')

WORKERS = 2
QUEUES = 3
PER_QUEUE = 4
SENT = QUEUES * PER_QUEUE

#: Runs until the test makes the file `go`.
UNTIL_TOLD = 'while not os.path.exists({go!r}):\n    time.sleep(0.01)'

ENTRYPOINTS = """[
    EventListener('source', f'event{number}', route=Route('tasks.work'), queue=f'queue{number}')
    for number in range(3)
]"""


def fill(client: Client) -> None:
    """Publish so many messages to each queue that all are delivered and few can run."""
    for number in range(QUEUES):
        payloads = [{'id': f'{number}-{count}'} for count in range(PER_QUEUE)]
        client.publish_many('source.events', f'event{number}', payloads)


@pytest.mark.parametrize('greedy', [False, True], ids=['plain', 'greedy'])
@pytest.mark.parametrize('place', ['thread', 'process'])
def test_running_finish_and_pending_go_by_the_mode(
    place: str,
    greedy: bool,
    tmp_path: Path,
    write: Write,
    ledger: Ledger,
    rabbitmq: Node,
    vhost: str,
    amqp_uri: str,
    amqp_client: Client,
) -> None:
    """With W running and P pending: plain modes finish W and give back P, greedy ones finish W + P."""
    go = tmp_path / 'go'
    program = write(
        amqp_uri,
        f'greedy_{place}' if greedy else place,
        tasks=ledger.tasks(UNTIL_TOLD.format(go=str(go))),
        entrypoints=ENTRYPOINTS,
        MAX_WORKERS=WORKERS,
        PREFETCH=PER_QUEUE,
    )
    with program:
        program.wait_for('ready')
        fill(amqp_client)
        ledger.wait_for('S', WORKERS)
        for number in range(QUEUES):  # all are with the service: running or pending
            amqp_client.wait_for_counts(f'queue{number}', ready=0, consumers=1)
        program.signal(signal.SIGTERM)
        program.wait_for('stopping')
        for number in range(QUEUES):
            amqp_client.wait_for_counts(f'queue{number}', consumers=0)
        go.touch()
        assert program.wait() == 0
        assert not program.survivors()
    counts = {name: (queue.ready, queue.unacked) for name, queue in rabbitmq.queues(vhost).items()}
    finished, started = ledger.of('F'), ledger.of('S')
    assert started == finished
    assert set(started.values()) == {1}, 'nothing runs twice'
    assert len(finished) == (SENT if greedy else WORKERS)
    assert sum(ready for ready, _ in counts.values()) == SENT - len(finished)
    assert sum(unacked for _, unacked in counts.values()) == 0
    assert len(counts) == QUEUES, 'no dead letters'


def test_what_was_given_back_is_run_by_the_next_service(
    mode: str, tmp_path: Path, write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """Over two lives of a service every message runs exactly once."""
    go = tmp_path / 'go'
    work = ledger.tasks(UNTIL_TOLD.format(go=str(go)))
    with write(amqp_uri, mode, tasks=work, entrypoints=ENTRYPOINTS, PREFETCH=PER_QUEUE) as program:
        program.wait_for('ready')
        fill(amqp_client)
        ledger.wait_for('S', WORKERS)
        program.signal(signal.SIGTERM)
        go.touch()
        assert program.wait() == 0
    with write(amqp_uri, mode, tasks=work, entrypoints=ENTRYPOINTS, PREFETCH=PER_QUEUE) as program:
        program.wait_for('ready')
        ledger.wait_for('F', SENT)
        assert program.stop() == 0
    assert set(ledger.of('S').values()) == {1}


def test_the_deadline_ends_what_will_not_end(
    mode: str, write: Write, ledger: Ledger, rabbitmq: Node, vhost: str, amqp_uri: str, amqp_client: Client
) -> None:
    """After STOP_TIMEOUT_S what still runs is interrupted and given back; the exit code says so."""
    tasks = ledger.tasks('time.sleep(600)')
    with write(amqp_uri, mode, tasks=tasks, entrypoints=ENTRYPOINTS, STOP_TIMEOUT_S=0.3) as program:
        program.wait_for('ready')
        fill(amqp_client)
        ledger.wait_for('S', WORKERS)
        program.signal(signal.SIGTERM)
        assert program.wait() == 1
        program.wait_for('StopTimeoutError')
        assert not program.survivors()
    assert not ledger.of('F')
    counts = rabbitmq.queues(vhost)
    assert sum(queue.ready for queue in counts.values()) == SENT
    assert sum(queue.unacked for queue in counts.values()) == 0
    assert len(counts) == QUEUES, 'no dead letters'


def test_a_second_signal_is_immediate(
    mode: str, write: Write, ledger: Ledger, rabbitmq: Node, vhost: str, amqp_uri: str, amqp_client: Client
) -> None:
    """The second SIGINT waits for no target; nothing is lost by it and no process stays."""
    tasks = ledger.tasks('time.sleep(600)')
    with write(amqp_uri, mode, tasks=tasks, entrypoints=ENTRYPOINTS) as program:
        program.wait_for('ready')
        fill(amqp_client)
        ledger.wait_for('S', WORKERS)
        program.signal(signal.SIGINT)
        program.wait_for('stopping')
        program.signal(signal.SIGINT)
        assert program.wait(20) == 1  # and not after STOP_TIMEOUT_S, 30 s
        assert not program.survivors()
    assert sum(queue.ready for queue in rabbitmq.queues(vhost).values()) == SENT


def test_an_idle_service_stops_at_once(mode: str, write: Write, amqp_uri: str) -> None:
    """SIGTERM to an idle service ends it with 0 and leaves no process."""
    with write(amqp_uri, mode) as program:
        program.wait_for('ready')
        assert program.stop(20) == 0
        assert not program.survivors()


def test_a_stop_while_the_broker_is_absent(mode: str, write: Write) -> None:
    """A service that waits for its broker says so, and stops when it is told to."""
    with write('amqp://guest:guest@127.0.0.1:1/', mode) as program:
        program.wait_for('no broker at 127.0.0.1:1')
        assert program.stop() == 0
        assert not program.survivors()
