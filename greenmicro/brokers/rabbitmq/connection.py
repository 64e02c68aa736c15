"""Connection: amqp's connection, with our transport and wire, and kombu's way to make one."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import gevent
import kombu
from kombu.transport import pyamqp

from greenmicro.brokers.rabbitmq.encryption import options_of
from greenmicro.brokers.rabbitmq.transport import TCPTransport, TLSTransport
from greenmicro.brokers.rabbitmq.wire import Wire
from greenmicro.settings import Settings
from greenmicro.tls import TLS

#: TCP gives up a peer that acknowledges nothing for so many heartbeat intervals.
USER_TIMEOUT_HEARTBEATS = 2


class Connection(pyamqp.Connection):  # type: ignore[misc]
    """An amqp connection that reads through our transport, and that any greenlet may wait on.

    Args:
        wire: Its frame handler and frame writer.
        **options: As amqp's.
    """

    def __init__(self, wire: Wire, **options: Any) -> None:
        self.wire = wire
        options.pop('insist')  # kombu's, of AMQP 0-8
        super().__init__(frame_handler=wire.frame_handler, frame_writer=wire.frame_writer, **options)

    def lose(self, error: Exception) -> None:
        """Take the connection for lost; its link lets go of it and connects again."""
        self.wire.lose(error)

    def Transport(  # noqa: N802  # amqp's name
        self,
        host: str,
        connect_timeout: float,
        ssl: Any = False,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        **options: Any,
    ) -> Any:
        """Build the socket's owner; amqp's own extension point."""
        options.update(
            connect_timeout=connect_timeout, read_timeout=read_timeout, write_timeout=write_timeout
        )
        return TLSTransport(host, ssl=ssl, **options) if ssl else TCPTransport(host, **options)

    def connect(self, callback: Callable[[], None] | None = None) -> None:
        """Connect; whatever interrupts it, no socket and no writer stay behind."""
        try:
            super().connect(callback)
        except BaseException as error:
            self.abandon(error if isinstance(error, Exception) else TimeoutError('interrupted'))
            raise

    def drain_events(self, timeout: float | None = None) -> None:
        """Read until something was handled; once a reader is there, wait until it has done so."""
        if self.wire.reading:
            self.wire.wait_progress(timeout)
        else:
            super().drain_events(timeout)

    def bear_silence(self, endless: bool) -> None:
        """Say whether a broker that reads nothing is there all the same, as it is in a resource alarm.

        TCP would give it up as soon as more is in flight than the sockets' buffers hold: after twice the
        heartbeat, again and again for as long as the alarm lasts.
        """
        for option, limit_ms in _patience(0 if endless else self.heartbeat).items():
            self.sock.setsockopt(socket.IPPROTO_TCP, option, limit_ms)

    def abandon(self, error: Exception) -> None:
        """Let go of the socket and of everything that waits on it, without a word to the broker."""
        self.wire.close(error)
        self.collect()


class KombuTransport(pyamqp.Transport):  # type: ignore[misc]
    """Kombu's transport for amqp, with our connection."""

    Connection = Connection


def _patience(heartbeat_s: float) -> dict[int, int]:
    """Return TCP options by which a peer is given up that acknowledges nothing; 0 for never."""
    option = getattr(socket, 'TCP_USER_TIMEOUT', None)
    if option is None:  # macOS: there heartbeats alone have to tell
        return {}
    return {option: int(USER_TIMEOUT_HEARTBEATS * 1000 * heartbeat_s)}


def client_of(uri: str, settings: Settings, name: str, **options: Any) -> Any:
    """Return kombu's client of a broker, not connected.

    Args:
        uri: Where the broker is, one host.
        settings: The service's settings.
        name: The connection's name, as the broker shows it.
        **options: Further options of amqp's connection.

    Raises:
        BrokerError: What is said of TLS cannot be.
    """
    client = kombu.Connection(
        uri,
        transport=KombuTransport,
        connect_timeout=settings.connect_timeout_s,
        heartbeat=settings.heartbeat_s,
        transport_options={
            'wire': Wire(),
            # 1 s by default: a connection would not outlive a network that is slow for a moment.
            'socket_settings': _patience(settings.heartbeat_s),
            'client_properties': {'connection_name': f'{settings.service_name} {name}'},
            **options,
        },
    )
    if uri.startswith('amqps:'):
        client.ssl = options_of(settings.amqp_ssl or TLS(), client.hostname, client.ssl or {})
    return client


def establish(client: Any, timeout_s: float) -> Connection:
    """Connect a client, within a deadline for all of it.

    Raises:
        OSError: There is no broker, or none in time, or not the one that its certificate should name.
        AMQPError: It refuses us.
    """
    # kombu's own connect() tries twice with 2 s between, each with a deadline per read: 8 s for 3.
    with gevent.Timeout(timeout_s, TimeoutError(f'not connected within {timeout_s:g} s')):
        connection: Connection = client.transport.establish_connection()
    connection.sock.settimeout(None)  # amqp leaves its connect time-out on a TLS socket
    return connection
