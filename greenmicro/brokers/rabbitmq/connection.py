"""Link: one connection to RabbitMQ, made again whenever it is lost."""

from __future__ import annotations

import itertools
import logging
import random
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import kombu
from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, RecoverableConnectionError
from gevent.event import Event
from kombu.transport import pyamqp

from greenmicro.brokers.rabbitmq.transport import HEARTBEAT_FRAME, TCPTransport, TLSTransport
from greenmicro.brokers.rabbitmq.wire import Wire
from greenmicro.errors import BrokerError
from greenmicro.settings import Settings

logger = logging.getLogger(__name__)

#: How often a refusal (password, vhost, permission) is tried again once the broker was reached before.
REFUSED_RETRY_S = 5.0
FIRST_DELAY_S = 0.05
#: A peer that stays silent for this many heartbeat intervals is gone (AMQP 0-9-1, section 4.2.7).
SILENT_INTERVALS = 2.0
#: `server_hostname: None` has kombu fill in the host's name, which is then verified.
TLS_OPTIONS = {'cert_reqs': ssl.CERT_REQUIRED, 'server_hostname': None}


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
        options.update(connect_timeout=connect_timeout, read_timeout=read_timeout, write_timeout=write_timeout)
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

    def abandon(self, error: Exception) -> None:
        """Let go of the socket and of everything that waits on it, without a word to the broker."""
        self.wire.close(error)
        self.collect()


class KombuTransport(pyamqp.Transport):  # type: ignore[misc]
    """Kombu's transport for amqp, with our connection."""

    Connection = Connection


class Link:
    """Keeps one connection up: connects with a deadline and backoff, reads, sends heartbeats.

    Args:
        settings: The service's settings.
        name: What it is for, in logs.
        on_up: Called with each new connection, once its reader reads; must not block.
        on_down: Called when that connection is lost, before the next one is tried.
        on_fatal: Called when the broker refuses us before it was ever reached; the link then ends.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        on_up: Callable[[Connection], None],
        on_down: Callable[[Exception], None],
        on_fatal: Callable[[Exception], None],
    ) -> None:
        self._settings = settings
        self._name = f'{name} connection'
        self._on_up = on_up
        self._on_down = on_down
        self._on_fatal = on_fatal
        self._closing = Event()
        self._was_up = False
        self._greenlet: Any = None
        self.connection: Connection | None = None
        self.blocked = False
        self.unblocked = Event()  # or the connection is lost

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.link_exception(lambda dead: self._on_fatal(dead.exception))

    def close(self, timeout_s: float) -> None:
        """Say goodbye to the broker, within the time, and end."""
        self._closing.set()
        connection = self.connection
        if connection is not None:
            with gevent.Timeout(timeout_s, False):  # type: ignore[arg-type]  # False: end the block, silently
                try:
                    connection.close()
                except (OSError, AMQPError) as error:
                    logger.debug('%s: lost while closing it: %s', self._name, error)
            connection.lose(RecoverableConnectionError('closed by us'))
        if self._greenlet is not None:
            self._greenlet.join()

    def _run(self) -> None:
        uris = itertools.cycle(self._settings.amqp_uri.split(';'))
        while not self._closing.is_set():
            try:
                connection = self._connect(uris)
            except BrokerError as error:
                self._on_fatal(error)
                return
            if connection is not None:
                self._serve(connection)

    def _connect(self, uris: Iterator[str]) -> Connection | None:
        """Try one host after the other until connected; None when the link is closed meanwhile."""
        delays = backoff(self._settings.reconnect_max_s)
        told = False
        while not self._closing.is_set():
            client = self._client(next(uris))
            try:
                return self._establish(client)
            except (AccessRefused, NotAllowed) as error:
                if not self._was_up:
                    raise BrokerError(_refusal(client, error)) from error
                delay, reason = REFUSED_RETRY_S, str(error)
            except (OSError, AMQPError) as error:
                delay, reason = next(delays), str(error)
            if not told:
                told = True
                logger.warning('%s: no broker at %s (%s), trying on', self._name, client.host, reason)
            self._closing.wait(delay)
        return None

    def _client(self, uri: str) -> Any:
        settings = self._settings
        return kombu.Connection(
            uri,
            transport=KombuTransport,
            connect_timeout=settings.connect_timeout_s,
            heartbeat=settings.heartbeat_s,
            ssl=dict(TLS_OPTIONS) if uri.startswith('amqps:') else False,
            transport_options={
                'wire': Wire(),
                'on_blocked': self._note_blocked,
                'on_unblocked': self._note_unblocked,
                # 1 s by default: a publisher would die of a memory alarm after 1.5 s.
                'socket_settings': {socket.TCP_USER_TIMEOUT: int(2000 * settings.heartbeat_s)},
                'client_properties': {'connection_name': f'{settings.service_name} {self._name}'},
            },
        )

    def _establish(self, client: Any) -> Connection:
        # kombu's connect() tries twice with 2 s between, each with a deadline per read: 8 s for 3.
        limit = self._settings.connect_timeout_s
        with gevent.Timeout(limit, TimeoutError(f'not connected within {limit:g} s')):
            connection: Connection = client.transport.establish_connection()
        connection.sock.settimeout(None)  # amqp leaves its connect time-out on a TLS socket
        return connection

    def _serve(self, connection: Connection) -> None:
        self.connection = connection
        self._was_up = True
        self.blocked = False
        connection.wire.reading = True
        reader, heart = gevent.spawn(_read, connection), gevent.spawn(_beat, connection)
        logger.info('%s: connected to %s', self._name, connection.host)
        self._on_up(connection)
        error = connection.wire.lost.get()
        assert error is not None
        self.connection = None
        self.blocked = False
        self.unblocked.set()
        gevent.killall([reader, heart])
        connection.abandon(error)
        if not self._closing.is_set():
            logger.warning('%s: lost (%s), connecting again', self._name, error)
        self._on_down(error)

    def _note_blocked(self, reason: str) -> None:
        self.blocked = True
        self.unblocked.clear()
        logger.warning('%s: the broker accepts no messages for now (a resource alarm)', self._name)

    def _note_unblocked(self) -> None:
        self.blocked = False
        self.unblocked.set()
        logger.info('%s: the broker accepts messages again', self._name)


def _read(connection: Connection) -> None:
    """Read until the connection is lost; the only greenlet that does."""
    read_frame, handle = connection.transport.read_frame, connection.on_inbound_frame
    try:
        while True:
            handle(read_frame())
    except Exception as error:
        # Whatever a peer sends or breaks ends its connection, never the process.
        connection.lose(error)


def _beat(connection: Connection) -> None:
    """Send a heartbeat when nothing else was sent, and notice when the broker is gone."""
    interval, wire, transport = connection.heartbeat, connection.wire, connection.transport
    while interval:
        gevent.sleep(interval / 4)
        now = time.monotonic()
        if now - wire.outbox.last_sent >= interval / 2:
            wire.outbox.write(HEARTBEAT_FRAME)
        silent_s = now - transport.last_received
        # After a target has blocked the hub the silence is ours: what came meanwhile is unread.
        if silent_s > SILENT_INTERVALS * interval and not _readable(transport.sock):
            connection.lose(TimeoutError(f'the broker was silent for {silent_s:.1f} s'))
            return


def _readable(sock: Any) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def backoff(longest_s: float) -> Iterator[float]:
    """Yield delays in seconds: doubled each time up to the longest, each with full jitter."""
    for power in itertools.count():
        yield random.uniform(0, min(longest_s, FIRST_DELAY_S * 2 ** min(power, 16)))  # noqa: S311  # no secret


def _refusal(client: Any, error: Exception) -> str:
    return (
        f'AMQP_URI: the broker at {client.host} refuses user {client.userid or "guest"!r} on virtual host '
        f'{client.virtual_host or "/"!r}: {error}'
    )
