"""Client: calls and events from programs that are no services."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenmicro.errors import (
    BadCallError,
    CallLostError,
    CallTimeoutError,
    ConfigError,
    RefusedError,
    RemoteError,
    StoppingError,
    UnavailableError,
    UnknownMethodError,
    UnknownServiceError,
    UnroutableError,
)
from greenmicro.routes import Route
from greenmicro.rpc.entrypoints import RPCListener
from greenmicro.runner import Runner
from greenmicro.standalone import Client
from tests.fakes import tasks
from tests.support.amqp_client import Client as OtherClient
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.rabbitmq import Node

GOING_ON = Event()


def add(x: int, y: int = 1) -> int:
    return x + y


def fail() -> None:
    raise ValueError('as told')


def wait() -> str:
    GOING_ON.wait()
    return 'done'


@pytest.fixture
def shop(amqp_uri: str) -> Iterator[Runner]:
    """A service that answers."""
    GOING_ON.clear()
    with tasks(add=add, fail=fail, wait=wait) as module:
        methods = [RPCListener(Route(f'{module}.{name}')) for name in ('add', 'fail', 'wait')]
        with Runner(methods, {'AMQP_URI': amqp_uri, 'SERVICE_NAME': 'shop'}) as runner:
            yield runner
            GOING_ON.set()


@pytest.fixture
def client(amqp_uri: str) -> Iterator[Client]:
    """A client of it."""
    with Client({'AMQP_URI': amqp_uri}) as client:
        yield client


def test_it_calls(shop: Runner, client: Client) -> None:
    """Many at once, too."""
    assert client['shop'].add(1) == 2
    assert client['shop'].add(1, y=5) == 6
    calls = [client['shop'].add.call_async(number) for number in range(500)]
    assert [call.result() for call in calls] == list(range(1, 501))


def test_errors_are_those_of_a_proxy(shop: Runner, client: Client) -> None:
    """Each by its type."""
    with pytest.raises(RemoteError, match='ValueError: as told'):
        client['shop'].fail()
    with pytest.raises(UnknownMethodError, match='sub'):
        client['shop'].sub()
    with pytest.raises(BadCallError, match='argument'):
        client['shop'].add()
    with pytest.raises(UnknownServiceError, match="'nobody'"):
        client['nobody'].add(1)


def test_no_reply_in_time(shop: Runner, client: Client) -> None:
    """A wait that is shorter than the call may be repeated."""
    with pytest.raises(CallTimeoutError, match=r'shop\.wait: no reply within 0\.2 s'):
        client['shop'].wait.within(0.2)()
    call = client['shop'].wait.call_async()
    with pytest.raises(CallTimeoutError, match=r'no reply within 0\.1 s'):
        call.result(timeout_s=0.1)
    GOING_ON.set()
    assert call.result() == 'done'


def test_a_lost_connection_is_told_at_once_and_made_anew(
    shop: Runner, client: Client, rabbitmq: Node, vhost: str
) -> None:
    """The reply would have come on it."""
    call = client['shop'].wait.call_async()
    assert client['shop'].add(1) == 2
    close_client(rabbitmq)
    with pytest.raises(CallLostError):
        call.result()
    assert client['shop'].add(1) == 2


def close_client(node: Node) -> None:
    """Have the broker close the connections of clients, and of nobody else."""
    node.eval("""
    [rabbit_networking:close_connection(Pid, "as told") || Pid <- rabbit_networking:connections(),
     {client_properties, Told} <- rabbit_reader:info(Pid, [client_properties]),
     lists:member({<<"connection_name">>, longstr, <<"standalone client">>}, Told)].
    """)


def test_it_publishes_events(client: Client, amqp_client: OtherClient) -> None:
    """Of any service, whose exchange it declares; confirmed."""
    client.emit('shop', 'opened', {'at': 7})  # nobody listens
    amqp_client.declare_queue('q')
    amqp_client.bind('q', 'shop.events', 'opened')
    client.emit('shop', 'opened', {'at': 8}, headers={'own': 1}, mandatory=True)
    letter = amqp_client.get('q')
    assert json.loads(letter.body) == {'at': 8}
    assert letter.headers['own'] == 1
    with pytest.raises(UnroutableError):
        client.emit('shop', 'closed', {}, mandatory=True)
    with pytest.raises(TypeError, match='delay_s'):
        client.emit('shop', 'opened', {}, delay_s=1)


def test_what_the_broker_refuses_is_told(client: Client, amqp_client: OtherClient) -> None:
    """An exchange of another kind; and the client goes on."""
    amqp_client.declare_exchange('odd.events', kind='fanout')
    with pytest.raises(RefusedError, match='PRECONDITION_FAILED'):
        client.emit('odd', 'event', {})


def test_nothing_of_it_is_left(shop: Runner, amqp_uri: str, rabbitmq: Node, vhost: str) -> None:
    """Neither queue nor connection nor thread."""
    before, threads = set(rabbitmq.queues(vhost)), threading.active_count()
    with Client({'AMQP_URI': amqp_uri}) as client:
        assert client['shop'].add(1) == 2
        assert set(rabbitmq.queues(vhost)) > before
    while set(rabbitmq.queues(vhost)) != before:
        gevent.sleep(0.01)
    assert threading.active_count() == threads
    with pytest.raises(StoppingError):
        client['shop'].add(1)


def test_a_broker_that_is_not_there_is_told_in_time() -> None:
    """By the call's own time."""
    with Client({'AMQP_URI': f'amqp://127.0.0.1:{free_port()}', 'CALL_TIMEOUT_S': 0.3}) as client:
        with pytest.raises(UnavailableError, match='the broker was not there in time'):
            client['shop'].add(1)
        with pytest.raises(UnavailableError):
            client.emit('shop', 'opened', {}, timeout_s=0.3)


@pytest.mark.parametrize(
    ('config', 'fault'),
    [({}, 'AMQP_URI is missing'), ({'AMQP_URI': 'memory://'}, 'AMQP_URI: a client needs a broker')],
)
def test_a_bad_config_is_refused(config: dict[str, Any], fault: str) -> None:
    """At once."""
    with pytest.raises(ConfigError, match=fault):
        Client(config)


def test_its_repr_masks_the_password() -> None:
    """As all that may be logged."""
    assert repr(Client({'AMQP_URI': 'amqp://me:secret@host'})) == '<Client of amqp://me:***@host>'


SCRIPT = """\
import os, sys, threading
from greenmicro.standalone import Client
assert 'gevent' not in sys.modules
results = []
with Client({'AMQP_URI': sys.argv[1]}) as client:
    def work(number):
        for more in range(20):
            results.append(client['shop'].add(number, more) == number + more)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print('threads', len(results), all(results))
    pid = os.fork()
    if not pid:
        print('forked', client['shop'].add(1))
        os._exit(0)
    os.waitpid(pid, 0)
    print('parent', client['shop'].add(2))
assert 'gevent' not in sys.modules
print('done')
"""


def test_it_serves_plain_threads_and_forks(shop: Runner, amqp_uri: str, tmp_path: Path) -> None:
    """In a program that knows no gevent."""
    (tmp_path / 'script.py').write_text(SCRIPT)
    with Program(tmp_path, 'script.py', amqp_uri) as program:
        assert program.wait(60) == 0, program.output
    assert 'threads 200 True' in program.output
    assert 'forked 2' in program.output
    assert 'parent 3' in program.output
    assert os.getpid() != program.pid
