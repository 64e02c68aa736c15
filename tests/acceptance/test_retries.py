"""Retries, in each mode, against RabbitMQ: exact attempts, what ends them, delays that survive restarts."""

import re
import time
from collections import Counter

import pytest

from tests.acceptance.conftest import Write
from tests.support.amqp_client import Client, Received
from tests.support.ledger import POLL_S, Ledger
from tests.support.patience import PATIENCE_S
from tests.support.rabbitmq import Node

IMPORTS = """
import os
from greenmicro import Dependency, Reject, Retry, RetryLater

class Attempt(Dependency):
    def provide(self, context):
        yield context.attempt, context.message.crashes

class OwnError(Exception):
    pass

def quick(attempts, **policy):
    return Retry(attempts, initial_delay_s=0.1, factor=1, **policy)

def listener(name, source='source', dependencies={}, **route):
    dependencies = {'attempt': Attempt(), **dependencies}
    return EventListener(source, name, Route(f'tasks.{name}', dependencies, **route))
"""
LIBRARY = """
class InnerError(OSError):
    pass
PublicError = InnerError
PublicError.__module__ = 'library._inner'
class Narrow(InnerError):
    pass
"""
TASKS = """
import os, signal, sys, time
import library
from greenmicro import Reject, RetryLater

LEDGER = os.open({path!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def note(name, attempt):
    os.write(LEDGER, f'S {{name}} {{attempt[0]}} {{attempt[1]}}\\n'.encode())

def failing(payload, attempt):
    note('failing', attempt)
    raise ValueError('always')

def by_alias(payload, attempt):
    note('by_alias', attempt)
    raise library.Narrow()

def of_main(payload, attempt):
    note('of_main', attempt)
    raise sys.modules['__main__'].OwnError()

def given_up(payload, attempt):
    note('given_up', attempt)
    raise PermissionError('no')

def not_covered(payload, attempt):
    note('not_covered', attempt)
    raise KeyError('other')

def later(payload, attempt):
    note('later', attempt)
    if attempt[0] < 3:
        raise RetryLater(0.1)

def never(payload, attempt):
    note('never', attempt)
    raise RetryLater(0.1)

def rejected(payload, attempt):
    note('rejected', attempt)
    raise Reject('no such customer')

def dying(payload, attempt):
    note('dying', attempt)
    os.kill(os.getpid(), signal.SIGKILL)

def delaying(payload, attempt, producer):
    note('delaying', attempt)
    producer('echo', time.time(), delay_s=0.5)

def echo(payload, attempt):
    os.write(LEDGER, f'echo {{time.time() - payload}}\\n'.encode())
"""
ENTRYPOINTS = """[
    listener('failing', retry=quick(3)),
    listener('by_alias', retry=quick(2, on=('library.PublicError',))),
    listener('of_main', retry=quick(2, on=(OwnError,))),
    listener('given_up', retry=quick(9, on=(OSError,), give_up_on=('PermissionError',))),
    listener('not_covered', retry=quick(9, on=(OSError,))),
    listener('later'),
    listener('never', retry=quick(2)),
    listener('rejected', retry=quick(9)),
    listener('delaying', dependencies={'producer': Producer()}),
    listener('echo', source='service'),
]"""
#: Each target: how many attempts it has; the reason of its dead letter, and some of the error.
EXPECTED = {
    'failing': (3, 'target error', 'ValueError: always'),
    'by_alias': (2, 'target error', 'library.Narrow'),
    'of_main': (2, 'target error', '__main__.OwnError'),
    'given_up': (1, 'target error', 'PermissionError: no'),
    'not_covered': (1, 'target error', "KeyError: 'other'"),
    'later': (3, None, ''),
    'never': (2, 'retry later', 'RetryLater(0.1)'),
    'rejected': (1, 'rejected', 'no such customer'),
    'delaying': (1, None, ''),
}


@pytest.fixture
def tasks(write: Write, ledger: Ledger) -> str:
    """The source of a tasks.py; a library that it uses lies beside it."""
    (ledger.path.parent / 'library.py').write_text(LIBRARY)
    return TASKS.format(path=str(ledger.path))


def queue_of(target: str) -> str:
    return f'evt-source-{target}--service.{target}'


def letter_of(client: Client, target: str) -> Received:
    dead = f'{queue_of(target)}.dead'
    client.wait_for_counts(dead, ready=1)
    return client.get(dead)


def wait_for_lines(ledger: Ledger, count: int, timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while len(ledger.lines) < count:
        assert time.monotonic() < deadline, ledger.lines
        time.sleep(POLL_S)


def test_each_failure_gets_what_its_route_says(
    write: Write, mode: str, tasks: str, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """Attempts are exact and seen by the target; after them a dead letter says how many and why."""
    program = write(amqp_uri, mode, tasks=tasks, entrypoints=ENTRYPOINTS, imports=IMPORTS)
    with program:
        program.wait_for('ready')
        for name in EXPECTED:
            amqp_client.publish('source.events', name, {}, message_id=name)
        letters = {name: letter_of(amqp_client, name) for name, (_, reason, _) in EXPECTED.items() if reason}
        wait_for_lines(ledger, 1 + sum(attempts for attempts, _, _ in EXPECTED.values()))
        assert program.stop() == 0
    starts = [line for line in ledger.lines if line[0] == 'S']
    seen = {name: sorted(int(line[2]) for line in starts if line[1] == name) for name in EXPECTED}
    assert seen == {name: [*range(1, attempts + 1)] for name, (attempts, _, _) in EXPECTED.items()}
    for name, letter in letters.items():
        attempts, reason, error = EXPECTED[name]
        headers = letter.headers
        assert (headers['greenmicro.attempt'], headers['greenmicro.reason']) == (attempts, reason), name
        assert error in headers['greenmicro.error']
        assert f'in {name}' in headers['greenmicro.traceback']
        origin = (headers['greenmicro.origin_exchange'], headers['greenmicro.origin_routing_key'])
        assert origin == ('source.events', name)
        assert letter.properties.message_id == name
    (echo,) = [line for line in ledger.lines if line[0] == 'echo']
    assert float(echo[1]) >= 0.5
    assert len(re.findall('failing: .* failed .*attempt [12], again in', program.output)) == 2
    assert program.output.count('ValueError: always\nTraceback') == 1, 'the last attempt has its traceback'


@pytest.mark.parametrize('mode', ['process', 'greedy_process'])
def test_what_kills_its_worker_is_tried_again_until_max_crashes(
    mode: str, write: Write, tasks: str, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """Though no retries are configured; crashes are counted apart from attempts."""
    program = write(
        amqp_uri, mode, tasks=tasks, imports=IMPORTS, MAX_CRASHES=2,
        entrypoints="[listener('dying', retry=Retry(1, initial_delay_s=0.1))]",
    )  # fmt: skip
    with program:
        program.wait_for('ready')
        amqp_client.publish('source.events', 'dying', {}, message_id='m')
        headers = letter_of(amqp_client, 'dying').headers
        assert program.stop() == 0
    assert [line[2:] for line in ledger.lines] == [['1', '0'], ['1', '1']]
    assert (headers['greenmicro.reason'], headers['greenmicro.crashes']) == ('worker lost', 2)
    assert headers['greenmicro.attempt'] == 1
    assert 'SIGKILL' in headers['greenmicro.error']


def test_retries_by_the_config_and_by_the_environment(
    write: Write, tasks: str, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """They hold where a route says nothing."""
    program = write(amqp_uri, tasks=tasks, imports=IMPORTS, entrypoints="[listener('failing')]",
                    RETRY={'max_attempts': 2, 'initial_delay_s': 0.1, 'on': ['ValueError']})  # fmt: skip
    with program:
        program.wait_for('ready')
        amqp_client.publish('source.events', 'failing', {})
        assert letter_of(amqp_client, 'failing').headers['greenmicro.attempt'] == 2
        assert program.stop() == 0


NAMES = {
    'misspelt name': ("on=('library.PublicEror',)", r"library\.PublicEror.*did you mean 'PublicError'"),
    'no class': ("on=('os.path',)", r"'os\.path' is of type module, and no exception class"),
    'no number': ('max_attempts=0', 'max_attempts: wanted a whole number'),
}


@pytest.mark.parametrize('mode', ['thread', 'process'])
@pytest.mark.parametrize('name', NAMES)
def test_a_policy_that_cannot_work_stops_the_start(
    name: str, mode: str, write: Write, tasks: str, amqp_uri: str
) -> None:
    """It says at which route, and what is wrong."""
    policy, told = NAMES[name]
    entrypoints = f"[listener('failing', retry=Retry({policy}))]"
    with write(amqp_uri, mode, tasks=tasks, entrypoints=entrypoints, imports=IMPORTS) as program:
        assert program.wait() == 1
        assert re.search(f'EventListener -> tasks.failing.*{told}', program.output), program.output


WAITING = """
def waiting(payload, attempt):
    note(payload, attempt)
    if attempt[0] == 1:
        raise RetryLater({delay_s})
"""


def options(tasks: str, delay_s: int) -> dict[str, str]:
    return {
        'tasks': tasks + WAITING.format(delay_s=delay_s),
        'entrypoints': "[listener('waiting')]",
        'imports': IMPORTS,
    }


def publish_until_all_wait(uri: str, delay_s: int) -> None:
    """Publish 20 messages, and return when all of them wait for their second attempt."""
    with Client(uri) as client:
        for number in range(20):
            client.publish('source.events', 'waiting', number, message_id=str(number))
        client.wait_for_counts(f'greenmicro.delay.{delay_s}000', ready=20)


def check_each_ran_twice(ledger: Ledger) -> None:
    """The first and the second attempt, each once."""
    runs = Counter((line[1], line[2]) for line in ledger.lines)
    assert runs == {(str(number), attempt): 1 for number in range(20) for attempt in '12'}


def test_delays_survive_the_service(write: Write, tasks: str, ledger: Ledger, amqp_uri: str) -> None:
    """What waits when it is stopped has its next attempt when it is there again."""
    with write(amqp_uri, **options(tasks, 5)) as program:
        program.wait_for('ready')
        publish_until_all_wait(amqp_uri, 5)
        assert program.stop() == 0
    assert len(ledger.lines) == 20
    with write(amqp_uri, **options(tasks, 5)) as program:
        wait_for_lines(ledger, 40)
        assert program.stop() == 0
    check_each_ran_twice(ledger)


def test_delays_survive_a_broker_that_is_killed(write: Write, tasks: str, ledger: Ledger, node: Node) -> None:
    """What it has confirmed it delivers when it is due, once; the delay was new to it a second before."""
    with write(node.uri(), **options(tasks, 5)) as program:
        program.wait_for('ready')
        publish_until_all_wait(node.uri(), 5)
        node.kill()
        node.start()
        wait_for_lines(ledger, 40)
        assert program.stop() == 0
    check_each_ran_twice(ledger)
    assert not any(counts.ready + counts.unacked for counts in node.queues().values())
