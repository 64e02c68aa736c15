"""Link: connecting, being refused, and letting go, at any moment and in time."""

import logging
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import gevent
import pytest
from gevent.server import StreamServer

from greenmicro.amqp.topology import Queue, Subscription
from greenmicro.brokers.rabbitmq import link as link_module
from greenmicro.brokers.rabbitmq.broker import RabbitBroker
from greenmicro.errors import BrokerError, StoppingError, UnavailableError
from greenmicro.settings import Settings
from tests.brokers.rabbitmq.faults import close_connections
from tests.brokers.sides import NewSide, Side, event
from tests.support.erlang import binary
from tests.support.ports import free_port
from tests.support.rabbitmq import Node


@pytest.fixture
def uri(amqp_uri: str) -> str:
    """These tests are about RabbitMQ alone."""
    return amqp_uri


def broker_at(uri: str, **config: object) -> RabbitBroker:
    """A broker that consumes from one queue; not started."""
    settings = Settings.load({'AMQP_URI': uri, 'SERVICE_NAME': 'shop', **config}, {})
    broker = RabbitBroker(settings)
    broker.subscribe(Subscription(Queue('q'), None, '', 10), lambda message: None)
    return broker


def lines(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    return [message for message in caplog.messages if part in message]


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
    assert ends_in(1, lambda: (broker.stop(5), broker.close(5))[1])
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
    assert ends_in(1, lambda: (broker.stop(5), broker.close(5))[1])


def test_connecting_keeps_its_deadline(tarpit: str, caplog: pytest.LogCaptureFixture) -> None:
    """Against one that never answers; it is tried on, with one line in the log for each connection."""
    broker = broker_at(tarpit, CONNECT_TIMEOUT_S=0.05, RECONNECT_MAX_S=0.01, CONFIRM_TIMEOUT_S=0.3)
    broker.start(pytest.fail)
    with pytest.raises(UnavailableError):
        broker.publish(event())
    broker.close(1)
    assert len(lines(caplog, 'not connected within 0.05 s')) == 2


def test_who_speaks_no_amqp_is_named(stranger: str, caplog: pytest.LogCaptureFixture) -> None:
    """And tried on: it may be a proxy whose broker is away."""
    broker = broker_at(stranger, RECONNECT_MAX_S=0.01, CONFIRM_TIMEOUT_S=0.2)
    broker.start(pytest.fail)
    with pytest.raises(UnavailableError):
        broker.publish(event())
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
    monkeypatch.setattr(link_module, 'REFUSED_RETRY_S', 0.05)
    side = new_side()
    inbox = side.subscribe('q')
    side.start_ready()
    permissions = 'rabbit_auth_backend_internal:{}(<<"guest">>, {}, {}<<"test">>).'
    rabbitmq.eval(permissions.format('clear_permissions', binary(vhost), ''))
    close_connections(rabbitmq, 'shop')
    while len(lines(caplog, 'refused at')) < 2:
        gevent.sleep(0.001)
    gevent.sleep(0.2)
    assert len(lines(caplog, 'refused at')) == 2
    rabbitmq.eval(permissions.format('set_permissions', binary(vhost), '<<".*">>, <<".*">>, <<".*">>, '))
    assert side.broker.wait_ready(5)
    assert side.fatal.empty()
    assert inbox.consumer.ready.is_set()  # type: ignore[attr-defined]


def test_an_absent_broker_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """Without a fatal error, with one line for each connection."""
    caplog.set_level(logging.INFO)
    broker = broker_at(f'amqp://127.0.0.1:{free_port()}', RECONNECT_MAX_S=0.01)
    broker.start(pytest.fail)
    assert not broker.wait_ready(0.3)
    broker.stop(1)
    broker.close(1)
    assert len(caplog.messages) == 2
    assert all('no broker at 127.0.0.1' in message for message in caplog.messages)


def test_the_next_host_is_tried(amqp_uri: str) -> None:
    """Where the first one is away."""
    broker = broker_at(f'amqp://127.0.0.1:{free_port()};{amqp_uri}')
    broker.start(pytest.fail)
    assert broker.wait_ready(5)
    broker.close(1)


@pytest.fixture(scope='module')
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that nobody has vouched for, and its key."""
    folder = tmp_path_factory.mktemp('tls')
    key, made = folder / 'key.pem', folder / 'certificate.pem'
    names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
    kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
    command = ['openssl', 'req', *kind, *names, '-keyout', str(key), '-out', str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made, key


@pytest.fixture
def tls(rabbitmq: Node, certificate: tuple[Path, Path]) -> Iterator[tuple[int, list[bytes]]]:
    """A TLS port before the broker, and the first bytes of each client that got through."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, certificate))
    seen: list[bytes] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
        except OSError:
            pass

    def serve(sock: socket.socket, _: object) -> None:
        try:
            client = context.wrap_socket(sock, server_side=True)
        except OSError:
            return
        with client, socket.create_connection(('127.0.0.1', rabbitmq.port)) as upstream:
            first = client.recv(65_536)
            seen.append(first[:4])
            upstream.sendall(first)
            gevent.wait([gevent.spawn(pump, client, upstream), gevent.spawn(pump, upstream, client)], count=1)

    server = StreamServer(('127.0.0.1', 0), serve)
    server.start()
    yield server.server_port, seen
    server.stop()


def test_an_unknown_certificate_is_refused(
    amqp_uri: str, tls: tuple[int, list[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    """And never is anything sent in the clear, or to whom could not be verified."""
    port, seen = tls
    parts = urlsplit(amqp_uri)
    broker = broker_at(
        f'amqps://guest:guest@localhost:{port}{parts.path}', RECONNECT_MAX_S=0.01, CONFIRM_TIMEOUT_S=0.3
    )
    broker.start(pytest.fail)
    with pytest.raises(UnavailableError):
        broker.publish(event())
    broker.close(1)
    assert not seen
    assert lines(caplog, 'CERTIFICATE_VERIFY_FAILED')


@pytest.mark.parametrize(('host', 'accepted'), [('localhost', True), ('127.0.0.1', False)])
def test_a_trusted_certificate_is_accepted_for_its_name(
    amqp_uri: str, tls: tuple[int, list[bytes]], certificate: tuple[Path, Path], host: str, accepted: bool
) -> None:
    """By the name of the host, not any other; messages go both ways, and the goodbye does not hang."""
    port, _ = tls
    path = urlsplit(amqp_uri).path
    side = Side(
        f'amqps://guest:guest@{host}:{port}{path}?ssl_ca_certs={certificate[0]}', RECONNECT_MAX_S=0.01
    )
    inbox = side.subscribe('q')
    side.start()
    assert side.broker.wait_ready(5 if accepted else 0.3) is accepted
    if accepted:
        side.broker.publish(event(bytes(300_000)))
        message = inbox.next()
        inbox.ack(message)
        assert message.body == bytes(300_000)
    assert ends_in(2, side.close)


def test_plain_amqp_on_a_tls_port_and_the_reverse(amqp_uri: str, tls: tuple[int, list[bytes]]) -> None:
    """Neither connects, and neither falls back."""
    port, seen = tls
    parts = urlsplit(amqp_uri)
    for uri in (
        f'amqp://guest:guest@localhost:{port}{parts.path}',
        f'amqps://guest:guest@localhost:{parts.port}{parts.path}',
    ):
        broker = broker_at(uri, CONNECT_TIMEOUT_S=0.2, RECONNECT_MAX_S=0.01)
        broker.start(pytest.fail)
        assert not broker.wait_ready(0.4)
        assert ends_in(1, lambda broker=broker: broker.close(1))  # type: ignore[misc]
    assert not seen
