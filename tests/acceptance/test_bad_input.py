"""Bad input: each is told clearly, with what was wanted and what was found, and no message is lost."""

import json
import re

import pytest

from tests.acceptance.conftest import LISTENER, MODES, Write
from tests.support.amqp_client import Client
from tests.support.ledger import Ledger
from tests.support.rabbitmq import Node

QUEUE = 'evt-source-event--service.work'
PLAIN_TASKS = 'def work(payload):\n    pass\n'
GIVEN = {'AMQP_URI': 'memory://', 'SERVICE_NAME': 'service'}

CONFIGS = {
    'wrong mode': ({'WORKER_MODE': 'threads'}, "WORKER_MODE.*found 'threads'.*did you mean 'thread'"),
    'no workers': ({'MAX_WORKERS': 0}, 'MAX_WORKERS.*at least 1.*found 0'),
    'workers as a word': ({'MAX_WORKERS': 'three'}, "MAX_WORKERS.*found 'three'"),
    'no service name': ({'SERVICE_NAME': None}, 'SERVICE_NAME'),
    'no broker': ({'AMQP_URI': None}, 'AMQP_URI.*memory://'),
    'bad scheme': ({'AMQP_URI': 'redis://localhost'}, 'AMQP_URI.*accepted are amqp'),
    'unknown key': ({'MAX_WORKER': 3}, "MAX_WORKER.*did you mean 'MAX_WORKERS'"),
}


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_that_cannot_work(name: str, write: Write) -> None:
    """The service does not start, and says which key, what was wanted and what was found."""
    change, told = CONFIGS[name]
    program = write('memory://', tasks=PLAIN_TASKS)
    main = program.folder / 'main.py'
    config = {key: value for key, value in {**GIVEN, **change}.items() if value is not None}
    main.write_text(re.sub('^config = .*$', f'config = {config!r}', main.read_text(), flags=re.MULTILINE))
    with program:
        assert program.wait() == 1
        assert re.search(told, program.output), program.output
        assert 'ConfigError' in program.output


def test_all_faults_are_told_at_once(write: Write) -> None:
    """Faults of the config and of the wiring come together in one error."""
    entrypoints = "[EventListener('source', 'event'), EventListener('source', 'event', Route('work'))]"
    with write('memory://', 'threads', tasks=PLAIN_TASKS, entrypoints=entrypoints) as program:
        assert program.wait() == 1
        for told in ("found 'threads'", 'wanted a route', "'work'"):
            assert told in program.output


WIRINGS = {
    'no route': ("[EventListener('source', 'event')]", r'wanted a route.*found None'),
    'no dot': ("[EventListener('source', 'event', Route('work'))]", r"'work'.*dot"),
    'one queue twice': (
        "[EventListener('source', 'event', Route(f'{module}.work')) for module in ('tasks', 'other')]",
        r'would share queue evt-source-event--service\.work',
    ),
    'dependency class': (
        "[EventListener('source', 'event', Route('tasks.work', {'producer': Producer}))]",
        r"dependency 'producer'.*class Producer.*Producer\(\)",
    ),
    'translator class': (
        "[EventListener('source', 'event', Route('tasks.work', translators=[MessageTranslator]))]",
        r'translator.*class MessageTranslator.*MessageTranslator\(\)',
    ),
    'no entrypoint': ('[EventListener]', r'wanted an instance of Entrypoint'),
}


@pytest.mark.parametrize('name', WIRINGS)
def test_a_wiring_that_cannot_work(name: str, write: Write) -> None:
    """The service does not start, and says what is wrong with which entrypoint."""
    entrypoints, told = WIRINGS[name]
    imports = 'from greenmicro import MessageTranslator'
    with write('memory://', tasks=PLAIN_TASKS, entrypoints=entrypoints, imports=imports) as program:
        assert program.wait() == 1
        assert re.search(told, program.output), program.output


TARGETS = {
    'misspelt function': ("'tasks.wrok'", 'def work(payload): pass', r'tasks\.wrok.*work'),
    'misspelt module': ("'task.work'", 'def work(payload): pass', r'task\.work.*tasks'),
    'coroutine': ("'tasks.work'", 'async def work(payload): pass', r'tasks\.work.*coroutine function'),
    'generator': ("'tasks.work'", 'def work(payload): yield', r'tasks\.work.*generator function'),
    'broken module': ("'tasks.work'", 'import nowhere_at_all', r'tasks\.work.*nowhere_at_all'),
    'no function': ("'tasks.work'", 'work = 3', r'tasks\.work.*of type int, which cannot be called'),
}


@pytest.mark.parametrize('mode', ['thread', 'process'])
@pytest.mark.parametrize('name', TARGETS)
def test_a_target_that_does_not_resolve(name: str, mode: str, write: Write, amqp_uri: str) -> None:
    """The service does not start, in any place where workers run; the nearest name is offered."""
    target, tasks, told = TARGETS[name]
    entrypoints = f"[EventListener('source', 'event', Route({target}))]"
    with write(amqp_uri, mode, tasks=tasks, entrypoints=entrypoints) as program:
        assert program.wait() == 1
        assert re.search(told, program.output), program.output
        assert not program.survivors()


def test_a_dependency_that_does_not_pickle(write: Write) -> None:
    """Process modes refuse it at start, naming route, dependency and attribute."""
    imports = """
import threading
from greenmicro import Dependency
class Locked(Dependency):
    def __init__(self):
        self.guard = threading.Lock()
    def provide(self, context):
        yield self.guard
"""
    entrypoints = "[EventListener('source', 'event', Route('tasks.work', {'lock': Locked()}))]"
    with write(
        'memory://', 'process', tasks=PLAIN_TASKS, entrypoints=entrypoints, imports=imports
    ) as program:
        assert program.wait() == 1
        assert re.search(r"tasks\.work.*'lock'.*'guard'", program.output), program.output
        assert not program.survivors()


def test_requests_before_greenmicro(write: Write) -> None:
    """A library that TLS would fail in is named, with the import to move."""
    program = write('memory://', tasks=PLAIN_TASKS)
    main = program.folder / 'main.py'
    main.write_text('import requests\n' + main.read_text())
    with program:
        assert program.wait() == 1
        assert re.search(r'urllib3.*imported before greenmicro\.runner.*move', program.output), program.output


def test_sleep_before_greenmicro(write: Write) -> None:
    """An unpatched function that blocks the hub is warned of; the service starts."""
    program = write('memory://', tasks=PLAIN_TASKS)
    main = program.folder / 'main.py'
    main.write_text('from time import sleep\n' + main.read_text())
    with program:
        program.wait_for('ready')
        assert re.search(r'__main__\.sleep is time\.sleep from before the patch', program.output)
        assert program.stop() == 0


def test_no_guard_in_process_mode(write: Write) -> None:
    """A main module that starts its runner unguarded is told how to guard it."""
    program = write('memory://', 'process', tasks=PLAIN_TASKS)
    main = program.folder / 'main.py'
    main.write_text(main.read_text().replace("if __name__ == '__main__':", 'if True:'))
    with program:
        assert program.wait() == 1
        assert "if __name__ == '__main__':" in program.output
        assert not program.survivors()


@pytest.mark.parametrize('place', ['thread', 'process'])
def test_a_wrong_password(place: str, write: Write, rabbitmq: Node) -> None:
    """The broker's refusal is permanent at start, names the user, and hides the password."""
    uri = rabbitmq.uri().replace('guest:guest', 'guest:secret-word')
    with write(uri, place, tasks=PLAIN_TASKS) as program:
        assert program.wait() == 1
        assert re.search(r"BrokerError: .*refuses user 'guest' on virtual host '/'", program.output), (
            program.output
        )
        assert 'secret-word' not in program.output
        assert not program.survivors()


def test_a_wrong_vhost(write: Write, rabbitmq: Node) -> None:
    """A virtual host that does not exist is named."""
    with write(rabbitmq.uri('nowhere'), tasks=PLAIN_TASKS) as program:
        assert program.wait() == 1
        assert re.search(r"BrokerError: .*virtual host 'nowhere'", program.output), program.output


def test_a_queue_declared_otherwise(write: Write, amqp_uri: str, amqp_client: Client) -> None:
    """A queue that exists with other arguments stops the start, naming the argument that differs."""
    amqp_client.declare_queue(QUEUE, arguments={'x-max-length': 5})
    with write(amqp_uri, tasks=PLAIN_TASKS) as program:
        assert program.wait() == 1
        assert re.search(rf"BrokerError: queue '{QUEUE}'.*'x-max-length'", program.output), program.output


def test_a_queue_of_another_type(write: Write, amqp_uri: str, amqp_client: Client) -> None:
    """A listener's own type that is not the queue's stops the start; a wrong word does so before."""
    amqp_client.declare_queue(QUEUE)
    typed = LISTENER.replace("'event', ", "'event', queue_type='quorum', ")
    with write(amqp_uri, tasks=PLAIN_TASKS, entrypoints=typed) as program:
        assert program.wait() == 1
        assert re.search(rf"BrokerError: queue '{QUEUE}'.*'x-queue-type'.*'quorum'", program.output), (
            program.output
        )
    with write('memory://', tasks=PLAIN_TASKS, entrypoints=typed.replace('quorum', 'quorom')) as program:
        assert program.wait() == 1
        assert "queue_type: wanted one of 'classic', 'quorum' or None, found 'quorom'" in program.output


BODIES = {
    'not json': ({}, b'{"id":', 'undecodable body'),
    'bad utf-8': ({}, b'"\xff\xfe"', 'undecodable body'),
    'empty': ({}, b'', 'undecodable body'),
    'pickle': ({'content_type': 'application/x-python-serialize'}, b'cos\nsystem\n.', 'content type refused'),
    'no content type': ({'content_type': None}, b'{}', 'content type refused'),
    'unknown encoding': ({'content_encoding': 'utf-99'}, b'{}', 'content type refused'),
}


@pytest.mark.parametrize('mode', MODES[::2])
def test_bodies_that_cannot_be_read(
    mode: str, write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """Each ends in the dead queue with its reason, whole; the messages beside it are run."""
    with write(amqp_uri, mode) as program:
        program.wait_for('ready')
        for number, (properties, body, _) in enumerate(BODIES.values()):
            full = {'content_type': 'application/json', 'content_encoding': 'utf-8', **properties}
            amqp_client.publish('source.events', 'event', {'id': number})
            amqp_client.publish('source.events', 'event', body, **full)
        amqp_client.declare_queue(f'{QUEUE}.dead')
        letters = amqp_client.take(f'{QUEUE}.dead', len(BODIES))
        ledger.wait_for('F', len(BODIES))
        assert program.stop() == 0
    found = {letter.body: letter.headers['greenmicro.reason'] for letter in letters}
    assert found == {body: reason for _, body, reason in BODIES.values()}
    assert set(ledger.of('S').values()) == {1}


@pytest.mark.parametrize('mode', MODES[::2])
def test_messages_of_another_schema(
    mode: str, write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """As many as were sent are dead letters, with the target's error; none is acked silently."""
    strangers = [{}, [], [{'id': 1}], 'id', 5, None, {'ident': 1}, {'ID': 1}]
    with write(amqp_uri, mode) as program:
        program.wait_for('ready')
        for payload in strangers:
            amqp_client.publish('source.events', 'event', payload)
        amqp_client.publish('source.events', 'event', {'id': 'known'})
        amqp_client.declare_queue(f'{QUEUE}.dead')
        letters = amqp_client.take(f'{QUEUE}.dead', len(strangers))
        ledger.wait_for('F', 1)
        assert program.stop() == 0
    assert sorted(letter.body for letter in letters) == sorted(json.dumps(one).encode() for one in strangers)
    assert {letter.headers['greenmicro.reason'] for letter in letters} == {'target error'}
    assert {letter.headers['greenmicro.error'].split(':')[0] for letter in letters} == {
        'KeyError',
        'TypeError',
    }
    assert ledger.of('S') == {'known': 1}


def test_bodies_of_many_megabytes(write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client) -> None:
    """One of 15 MB is run; one over the limit is dead-lettered whole, and the next one is run."""
    with write(amqp_uri, MAX_BODY_MB=15) as program:
        program.wait_for('ready')
        amqp_client.publish('source.events', 'event', {'id': 1, 'filling': 'x' * 15_000_000})
        amqp_client.publish('source.events', 'event', {'id': 2, 'filling': 'x' * 16_000_000})
        amqp_client.publish('source.events', 'event', {'id': 3})
        amqp_client.declare_queue(f'{QUEUE}.dead')
        letter = amqp_client.get(f'{QUEUE}.dead')
        ledger.wait_for('F', 2)
        assert program.stop() == 0
    assert ledger.of('F') == {'1': 1, '3': 1}
    assert len(letter.body) > 16_000_000
    assert letter.headers['greenmicro.reason'] == 'undecodable body'
    assert 'of at most 15728640' in letter.headers['greenmicro.error']


@pytest.mark.parametrize('mode', MODES[::2])
def test_a_payload_that_cannot_be_serialised(
    mode: str, write: Write, amqp_uri: str, amqp_client: Client
) -> None:
    """The target gets an error that names the place; its message is dead-lettered with it."""
    tasks = "def work(payload, producer):\n    producer('out', {'items': [{'price': object()}]})\n"
    entrypoints = LISTENER.replace("'tasks.work'", "'tasks.work', {'producer': Producer()}")
    with write(amqp_uri, mode, tasks=tasks, entrypoints=entrypoints) as program:
        program.wait_for('ready')
        amqp_client.declare_queue(f'{QUEUE}.dead')
        amqp_client.publish('source.events', 'event', {})
        letter = amqp_client.get(f'{QUEUE}.dead')
        assert program.stop() == 0
    assert "payload['items'][0]['price']" in letter.headers['greenmicro.error']
    assert 'PayloadError' in letter.headers['greenmicro.error']


def test_on_error_drop(write: Write, amqp_uri: str, amqp_client: Client, rabbitmq: Node, vhost: str) -> None:
    """A route that drops logs the failure and keeps no dead letter."""
    entrypoints = LISTENER.replace("'tasks.work'", "'tasks.work', on_error='drop'")
    tasks = "def work(payload):\n    raise ValueError('as told')\n"
    with write(amqp_uri, tasks=tasks, entrypoints=entrypoints) as program:
        program.wait_for('ready')
        amqp_client.publish('source.events', 'event', {})
        program.wait_for(re.compile(r'failed \(target error\), attempt 1, dropped: ValueError: as told'))
        assert program.stop() == 0
    assert set(rabbitmq.queues(vhost)) == {QUEUE}
