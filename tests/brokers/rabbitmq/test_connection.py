"""Connection, against RabbitMQ: how long TCP bears a peer that acknowledges nothing."""

import socket
from collections.abc import Callable, Iterator

import pytest

from greenmicro.brokers.rabbitmq.connection import Connection, client_of, establish
from tests.fakes import settings


@pytest.fixture
def connect(amqp_uri: str) -> Iterator[Callable[[], Connection]]:
    """Makes connections with a heartbeat of 7 s, which are closed at the end."""
    made: list[Connection] = []

    def connected() -> Connection:
        made.append(establish(client_of(amqp_uri, settings(HEARTBEAT_S=7), 'test'), 5))
        return made[-1]

    yield connected
    for connection in made:
        connection.abandon(ConnectionError('the end'))


def test_a_silent_peer_is_given_up_after_two_heartbeats(connect: Callable[[], Connection]) -> None:
    """Unless it is known to be there all the same."""
    connection = connect()

    def limit_ms() -> int:
        return int(connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))

    assert limit_ms() == 14_000
    connection.bear_silence(True)
    assert limit_ms() == 0
    connection.bear_silence(False)
    assert limit_ms() == 14_000


def test_a_platform_without_that_option_connects_too(
    connect: Callable[[], Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As macOS; bearing silence is nothing there."""
    monkeypatch.delattr(socket, 'TCP_USER_TIMEOUT')
    connection = connect()
    connection.bear_silence(True)
    connection.bear_silence(False)
    assert connection.connected
