"""nameko 2.14 itself, in an environment of its own, with greenmicro on one broker: each calls the other."""

import datetime
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from greenmicro.standalone import Client
from tests.acceptance.conftest import Write
from tests.faults.frameworks.nameko import installed
from tests.support.amqp_client import Client as AMQPClient
from tests.support.ledger import Ledger
from tests.support.program import Program

#: nameko's service `old`: methods, and handlers of the events of `service`, which notes what they get.
OLD = """\
import warnings
warnings.simplefilter('ignore')
import eventlet
eventlet.monkey_patch()
import datetime, decimal, signal, sys
from nameko.events import BROADCAST, SINGLETON, EventDispatcher, event_handler
from nameko.rpc import RpcProxy, rpc
from nameko.runners import ServiceRunner

class Old:
    name = 'old'
    service = RpcProxy('service')
    dispatch = EventDispatcher()

    @rpc
    def double(self, x):
        return x * 2

    @rpc
    def boom(self):
        raise KeyError('nope', 3)

    @rpc
    def echo(self, value):
        assert isinstance(value['at'], datetime.datetime), value
        assert isinstance(value['price'], decimal.Decimal), value
        return value

    @rpc
    def middle(self):
        return self.service.last()

    @rpc
    def tell(self, name, payload):
        self.dispatch(name, payload)

    @event_handler('service', 'told')
    def pool(self, payload):
        print('pool', payload, flush=True)

    @event_handler('service', 'told', handler_type=SINGLETON)
    def single(self, payload):
        print('single', payload, flush=True)

    @event_handler('service', 'told', handler_type=BROADCAST, reliable_delivery=False)
    def broad(self, payload):
        print('broad', payload, flush=True)

runner = ServiceRunner({{'AMQP_URI': {uri!r}, 'serializer': 'json'}})
runner.add_service(Old)
signal.signal(signal.SIGTERM, lambda *_: eventlet.spawn_n(runner.stop))
runner.start()
print('ready after start', flush=True)
runner.wait()
"""

#: nameko's own client, against the service: each outcome as JSON.
ASKING = """\
import warnings
warnings.simplefilter('ignore')
import json, sys
from nameko.exceptions import RemoteError
from nameko.standalone.events import event_dispatcher
from nameko.standalone.rpc import ClusterRpcProxy

def outcome(call):
    try:
        return call()
    except Exception as error:
        return [type(error).__name__, str(error)]

config = {'AMQP_URI': sys.argv[1]}
with ClusterRpcProxy(config, timeout=20) as cluster:
    service = cluster.service
    calls = [service.add.call_async(number, y=1) for number in range(100)]
    results = {
        'result': service.add(1, y=2),
        'overlapping': [call.result() for call in calls] == [number + 1 for number in range(100)],
        'error': outcome(service.fail),
        'unknown method': outcome(service.nothing),
        'bad signature': outcome(lambda: service.add(1, 2, 3)),
        'unknown service': outcome(lambda: cluster.nobody.add(1)),
    }
with ClusterRpcProxy(config, timeout=0.5) as cluster:
    results['time-out'] = outcome(cluster.service.slow)
event_dispatcher(config)('source', 'event', {'id': 'from nameko'})
print(json.dumps(results), flush=True)
"""

ENTRYPOINTS = """[
    *(RPCListener(Route(f'tasks.{name}')) for name in ('add', 'fail', 'slow')),
    RPCListener(Route('tasks.ask', dependencies={'old': RPCProxy('old', 10.0)})),
    RPCListener(Route('tasks.first', dependencies={'old': RPCProxy('old'), 'context': Context()})),
    RPCListener(Route('tasks.last', dependencies={'context': Context()})),
    RPCListener(Route('tasks.tell', dependencies={'producer': Producer()})),
    EventListener('source', 'event', route=Route('tasks.heard')),
    *(EventListener('old', 'told', route=Route(f'tasks.{kind}'), kind=kind) for kind in KINDS),
]"""
IMPORTS = """\
from greenmicro import Context, RPCListener, RPCProxy
KINDS = ('pool', 'singleton', 'broadcast')
"""
TASKS = """\
import datetime, time
from decimal import Decimal
from greenmicro.errors import RPCError

def add(x, y=1):
    return x + y

def fail():
    raise ValueError('as told', 7)

def slow():
    time.sleep(2)

def heard(payload):
    print('heard', payload['id'], flush=True)

def pool(payload): print('pool', payload, flush=True)
def singleton(payload): print('singleton', payload, flush=True)
def broadcast(payload): print('broadcast', payload, flush=True)

def tell(producer):
    producer('told', 'by greenmicro')

def told(call):
    try:
        return call()
    except RPCError as error:
        return f'{type(error).__name__}: {error}'

def ask(old):
    value = {'at': datetime.datetime(2026, 1, 2, 3, 4, 5), 'price': Decimal('1.50')}
    calls = [old.double.call_async(number) for number in range(100)]
    overlapping = [call.result() for call in calls] == [2 * number for number in range(100)]
    errors = [told(old.boom), told(old.nothing), told(lambda: old.double(1, 2))]
    return [overlapping, old.echo(value) == value, *errors]

def first(old, context):
    context.headers['language'] = 'de'
    return old.middle()

def last(context):
    return context.call_id_stack, context.headers
"""


def old_service(folder: Path, uri: str) -> Program:
    folder.mkdir()
    (folder / 'main.py').write_text(OLD.format(uri=uri))
    return Program(folder, 'main.py', python=installed(), measured=False)


@pytest.mark.parametrize('place', ['thread', 'process'])
def test_nameko_and_greenmicro_understand_each_other(
    place: str, tmp_path: Path, write: Write, amqp_uri: str
) -> None:
    """Calls, errors, events of each kind and the context, both ways."""
    (tmp_path / 'asking.py').write_text(ASKING)
    service = write(amqp_uri, place, tasks=TASKS, entrypoints=ENTRYPOINTS, imports=IMPORTS, MAX_WORKERS=4)
    with service, old_service(tmp_path / 'old', amqp_uri) as old, Client({'AMQP_URI': amqp_uri}) as client:
        service.wait_for('ready')
        old.wait_for('ready')
        if place == 'thread':  # its replies are the same, wherever a target runs
            nameko_asks(tmp_path, service, amqp_uri)
        greenmicro_asks(client)
        events(client, service, old)
        assert service.stop() == 0
        assert old.stop() == 0


def nameko_asks(folder: Path, service: Program, uri: str) -> None:
    with Program(folder, 'asking.py', uri, python=installed(), measured=False) as asking:
        results = json.loads(asking.wait_for(re.compile(r'^\{.*\}$', re.MULTILINE))[0])
    assert results == {
        'result': 3,
        'overlapping': True,
        'error': ['RemoteError', "ValueError ('as told', 7)"],
        'unknown method': ['MethodNotFound', 'nothing'],
        'bad signature': ['IncorrectSignature', 'too many positional arguments'],
        'unknown service': ['UnknownService', 'Unknown service `nobody`'],
        'time-out': results['time-out'],
    }
    assert results['time-out'][0] == 'RpcTimeout'
    service.wait_for('heard from nameko')


def greenmicro_asks(client: Client) -> None:
    overlapping, echoed, boom, nothing, signature = client['service'].ask()
    assert overlapping
    assert echoed
    assert boom == "RemoteError: KeyError: ('nope', 3)"
    assert nothing == 'UnknownMethodError: nothing'
    assert signature.startswith('BadCallError: ')
    value = {'at': datetime.datetime(2026, 1, 2), 'price': Decimal('0.1')}
    assert client['old'].echo(value) == value
    stack, headers = client['service'].first()
    names = [call_id.rpartition('.')[0] for call_id in stack]
    assert names == ['standalone.client', 'service.first', 'old.middle', 'service.last']
    assert headers['language'] == 'de'


def events(client: Client, service: Program, old: Program) -> None:
    client['service'].tell()
    for kind in ('pool', 'single', 'broad'):
        old.wait_for(f'{kind} by greenmicro')
    client['old'].tell('told', 'by nameko')
    for kind in ('pool', 'singleton', 'broadcast'):
        service.wait_for(f'{kind} by nameko')


LOADED = """\
import warnings
warnings.simplefilter('ignore')
import eventlet
eventlet.monkey_patch()
import signal
from nameko.events import event_handler
from nameko.runners import ServiceRunner
import tasks

class Service:
    name = 'service'

    @event_handler('source', 'event')
    def work(self, payload):
        tasks.work(payload)

runner = ServiceRunner({{'AMQP_URI': {uri!r}}})
runner.add_service(Service)
signal.signal(signal.SIGTERM, lambda *_: eventlet.spawn_n(runner.stop))
runner.start()
print('ready after start', flush=True)
runner.wait()
"""


def test_a_nameko_service_is_replaced_in_place(
    tmp_path: Path, write: Write, ledger: Ledger, amqp_uri: str, amqp_client: AMQPClient
) -> None:
    """Under load, by one of the same name on the same queue: nothing is lost."""
    folder = tmp_path / 'old'
    folder.mkdir()
    (folder / 'main.py').write_text(LOADED.format(uri=amqp_uri))
    (folder / 'tasks.py').write_text(ledger.tasks('time.sleep(0.002)'))
    new = write(amqp_uri, 'thread', tasks=ledger.tasks('time.sleep(0.002)'))
    payloads: list[dict[str, Any]] = [{'id': str(number)} for number in range(600)]
    with Program(folder, 'main.py', python=installed(), measured=False) as old:
        old.wait_for('ready')
        amqp_client.publish_many('source.events', 'event', payloads[:300])
        ledger.wait_for('F', 50)
        with new:
            new.wait_for('ready')
            amqp_client.publish_many('source.events', 'event', payloads[300:])
            assert old.stop() == 0
            ledger.wait_for('F', 600)
            assert new.stop() == 0
    assert max(ledger.of('F').values()) == 1
