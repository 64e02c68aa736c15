"""Link: connecting, being refused, and letting go, at any moment and in time."""

import logging
import socket
import time
from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent.server import StreamServer

from greenmicro.amqp.topology import Queue, Subscription
from greenmicro.brokers.rabbitmq import hosts
from greenmicro.brokers.rabbitmq.broker import RabbitBroker
from greenmicro.errors import BrokerError, StoppingError, UnavailableError
from greenmicro.settings import Settings
from tests.brokers.rabbitmq.faults import close_connections
from tests.brokers.sides import NewSide, Side, event
from tests.support.erlang import binary
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.rabbitmq import Node


@pytest.fixture
def uri(amqp_uri: str) -> str:
    """These tests are about RabbitMQ alone."""
    return amqp_uri


def broker_at(uri: str, **config: object) -> RabbitBroker:
    """A broker that consumes from one queue; not started."""
    settings = Settings.load({'AMQP_URI': uri, 'SERVICE_NAME': 'shop', **config}, {})
    broker = RabbitBroker(settings)
    broker.subscribe(Subscription(Queue('q'), None, '', 10), lambda message: None, lambda message, why: None)
    return broker


def lines(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    return [message for message in caplog.messages if part in message]


def wait_for_lines(caplog: pytest.LogCaptureFixture, part: str, count: int) -> None:
    with gevent.Timeout(PATIENCE_S):
        while len(lines(caplog, part)) < count:
            gevent.sleep(0.001)


@pytest.fixture
def tarpit() -> Iterator[str]:
    """The address of one that accepts connections and says nothing."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        yield f'amqp://127.0.0.1:{server.getsockname()[1]}'


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of one that speaks HTTP."""
    server = StreamServer(('127.0.0.1', 0), lambda sock, _: sock.sendall(b'HTTP/1.1 400 Bad Request\r\n\r\n'))
    server.start()
    yield f'amqp://127.0.0.1:{server.server_port}'
    server.stop()


def ends_in(seconds: float, call: Callable[[], None]) -> bool:
    began = time.monotonic()
    call()
    return time.monotonic() - began < seconds


def test_close_before_start(amqp_uri: str) -> None:
    """It returns at once, and publishing is refused."""
    broker = broker_at(amqp_uri)
    assert ends_in(5, lambda: (broker.stop(20), broker.close(20))[1])
    with pytest.raises(StoppingError):
        broker.publish(event())


@pytest.mark.parametrize('pause_s', [0.0, 0.05])
@pytest.mark.parametrize('peer', ['tarpit', 'stranger', 'nobody'])
def test_close_without_ever_being_connected(
    request: pytest.FixtureRequest, peer: str, pause_s: float
) -> None:
    """Whatever the connect is waiting for."""
    uri = f'amqp://127.0.0.1:{free_port()}' if peer == 'nobody' else request.getfixturevalue(peer)
    broker = broker_at(uri)
    broker.start(pytest.fail)
    gevent.sleep(pause_s)
    assert ends_in(5, lambda: (broker.stop(20), broker.close(20))[1])


def test_connecting_keeps_its_deadline(tarpit: str, caplog: pytest.LogCaptureFixture) -> None:
    """Against one that never answers; it is tried on, with one line in the log for each connection."""
    broker = broker_at(tarpit, CONNECT_TIMEOUT_S=0.05, RECONNECT_MAX_S=0.01, CONFIRM_TIMEOUT_S=0.1)
    broker.start(pytest.fail)
    with pytest.raises(UnavailableError):
        broker.publish(event())
    wait_for_lines(caplog, 'not connected within 0.05 s', 2)
    gevent.sleep(0.2)
    broker.close(1)
    assert len(lines(caplog, 'not connected within 0.05 s')) == 2


def test_who_speaks_no_amqp_is_named(stranger: str, caplog: pytest.LogCaptureFixture) -> None:
    """And tried on: it may be a proxy whose broker is away."""
    broker = broker_at(stranger, RECONNECT_MAX_S=0.01, CONFIRM_TIMEOUT_S=0.2)
    broker.start(pytest.fail)
    with pytest.raises(UnavailableError):
        broker.publish(event())
    wait_for_lines(caplog, 'no AMQP', 2)
    gevent.sleep(0.1)
    broker.close(1)
    assert len(lines(caplog, 'no AMQP')) == 2


@pytest.mark.parametrize(
    ('change', 'named'),
    [(('guest:guest@', 'guest:wrong@'), 'ACCESS_REFUSED'), (('/test', '/nowhere'), "'nowhere")],
    ids=['password', 'vhost'],
)
def test_a_refusal_at_start_is_fatal_once(amqp_uri: str, change: tuple[str, str], named: str) -> None:
    """With user, virtual host and what the broker said; never with the password."""
    errors: list[Exception] = []
    broker = broker_at(amqp_uri.replace(*change))
    broker.start(errors.append)
    while not errors:
        gevent.sleep(0.001)
    gevent.sleep(0.05)
    broker.stop(1)
    broker.close(1)
    (error,) = errors
    assert isinstance(error, BrokerError)
    assert named in str(error)
    assert 'wrong' not in str(error)


def test_a_refusal_later_is_waited_for(
    rabbitmq: Node, vhost: str, new_side: NewSide, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Permissions taken while running: tried every while, told once a connection, and back again."""
    monkeypatch.setattr(hosts, 'REFUSED_RETRY_S', 0.05)
    side = new_side()
    inbox = side.subscribe('q')
    side.start_ready()
    permissions = 'rabbit_auth_backend_internal:{}(<<"guest">>, {}, {}<<"test">>).'
    rabbitmq.eval(permissions.format('clear_permissions', binary(vhost), ''))
    close_connections(rabbitmq, 'shop')
    wait_for_lines(caplog, 'refused at', 2)
    gevent.sleep(0.2)
    assert len(lines(caplog, 'refused at')) == 2
    rabbitmq.eval(permissions.format('set_permissions', binary(vhost), '<<".*">>, <<".*">>, <<".*">>, '))
    assert side.broker.wait_ready(PATIENCE_S)
    assert side.fatal.empty()
    assert inbox.consumer.ready.is_set()  # type: ignore[attr-defined]


def test_an_absent_broker_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """Without a fatal error, with one line for each connection."""
    caplog.set_level(logging.INFO)
    broker = broker_at(f'amqp://127.0.0.1:{free_port()}', RECONNECT_MAX_S=0.01)
    broker.start(pytest.fail)
    wait_for_lines(caplog, 'no broker at 127.0.0.1', 2)
    assert not broker.wait_ready(0.2)
    broker.stop(1)
    broker.close(1)
    assert len(caplog.messages) == 2
    assert all('no broker at 127.0.0.1' in message for message in caplog.messages)


def test_the_next_host_is_tried_at_once(
    amqp_uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the first ones are away, without a pause between them; and no line of the log has a password."""
    caplog.set_level(logging.DEBUG, 'greenmicro')
    away = [f'amqp://guest:secret@127.0.0.1:{free_port()}' for _ in range(3)]
    monkeypatch.setattr(hosts, 'backoff', lambda longest_s: iter([60.0]))  # of one host
    broker = broker_at(';'.join([*away, amqp_uri]))
    broker.start(pytest.fail)
    assert broker.wait_ready(PATIENCE_S)
    broker.close(1)
    assert len(lines(caplog, 'no broker at 127.0.0.1')) == 6
    assert not lines(caplog, 'secret')


def test_it_moves_on_when_its_host_is_lost(amqp_uri: str, rabbitmq: Node, new_side: NewSide) -> None:
    """To the next one, and back to the first when that is lost in turn."""
    path = amqp_uri.rpartition('/')[2]
    with Proxy(rabbitmq.port) as first, Proxy(rabbitmq.port) as second:
        side = Side(
            ';'.join(f'amqp://guest:guest@127.0.0.1:{proxy.port}/{path}' for proxy in (first, second))
        )
        inbox = side.subscribe('q')
        side.start_ready()
        for lost, other in ((first, second), (second, first)):
            other.set()
            lost.set(now='rst', accept='refuse')
            side.broker.publish(event(b'x'))
            message = inbox.next()
            inbox.ack(message)
            assert message.body == b'x'
        side.close()


def test_a_name_that_does_not_resolve_for_a_while(
    amqp_uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried on with one line for each connection, and connected to once it resolves."""
    known = False
    resolve = socket.getaddrinfo
    asked = 0

    def resolver(host: str, *arguments: object, **options: object) -> object:
        nonlocal asked
        if host != 'mq.test':
            return resolve(host, *arguments, **options)  # type: ignore[arg-type]
        asked += 1
        if not known:
            raise socket.gaierror(socket.EAI_AGAIN, 'Temporary failure in name resolution')
        return resolve('127.0.0.1', *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, 'getaddrinfo', resolver)
    broker = broker_at(amqp_uri.replace('127.0.0.1', 'mq.test'), RECONNECT_MAX_S=0.02)
    broker.start(pytest.fail)
    while asked < 10:
        gevent.sleep(0.001)
    assert len(lines(caplog, 'Temporary failure in name resolution')) == 2
    known = True
    assert broker.wait_ready(PATIENCE_S)
    broker.close(1)


def test_a_broker_that_closes_each_connection_at_once(amqp_uri: str, rabbitmq: Node) -> None:
    """It is connected to again and again, but after delays that grow."""
    accepted = 0

    def serve(sock: socket.socket, _: object) -> None:
        nonlocal accepted
        accepted += 1
        with socket.create_connection(('127.0.0.1', rabbitmq.port)) as upstream:
            pumps = [gevent.spawn(pump, sock, upstream), gevent.spawn(pump, upstream, sock)]
            gevent.sleep(0.03)
            gevent.killall(pumps)

    server = StreamServer(('127.0.0.1', 0), serve)
    server.start()
    path = amqp_uri.rpartition('/')[2]
    broker = broker_at(f'amqp://guest:guest@127.0.0.1:{server.server_port}/{path}')
    broker.start(lambda error: None)
    gevent.sleep(1.5)
    assert accepted < 30
    with gevent.Timeout(PATIENCE_S):
        while accepted < 3:
            gevent.sleep(0.01)
    broker.close(1)
    server.stop()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
    except OSError:
        pass  # one of them is gone


def test_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline of a connect holds for it too, and nobody waits for it at the end."""
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *arguments: gevent.sleep(60))
    broker = broker_at('amqp://mq.test', CONNECT_TIMEOUT_S=0.05, CONFIRM_TIMEOUT_S=0.2)
    broker.start(pytest.fail)
    with pytest.raises(UnavailableError):
        broker.publish(event())
    assert ends_in(5, lambda: broker.close(20))
