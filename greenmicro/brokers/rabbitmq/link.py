"""Link: one connection to RabbitMQ, made again whenever it is lost."""

from __future__ import annotations

import itertools
import logging
import select
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, RecoverableConnectionError
from gevent.event import Event

from greenmicro.brokers.rabbitmq.backoff import REFUSED_RETRY_S, backoff
from greenmicro.brokers.rabbitmq.connection import Connection, client_of, establish
from greenmicro.brokers.rabbitmq.frames import HEARTBEAT_FRAME
from greenmicro.errors import BrokerError
from greenmicro.settings import Settings

logger = logging.getLogger(__name__)

#: A peer that stays silent for this many heartbeat intervals is gone (AMQP 0-9-1, section 4.2.7).
SILENT_INTERVALS = 2.0


class Link:
    """Keeps one connection up: connects with a deadline and backoff, reads, sends heartbeats.

    Args:
        settings: The service's settings.
        name: What it is for, in logs.
        on_up: Called with each new connection, once its reader reads; must not block.
        on_down: Called when that connection is lost, before the next one is tried.
        on_fatal: Called when the broker refuses us before it was ever reached; the link then ends.

    Attributes:
        connection: The present connection, if there is one.
        blocked: Whether the broker accepts no messages for now.
        unblocked: Set when it accepts them again, or the connection is lost.
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
        self._connecting = False
        self._was_up = False
        self._greenlet: Any = None
        self.connection: Connection | None = None
        self.blocked = False
        self.unblocked = Event()

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.link_exception(lambda dead: self._on_fatal(dead.exception))

    def close(self, timeout_s: float) -> None:
        """Say goodbye to the broker, within the time, and end; what was written before is sent first."""
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
            if self._connecting:
                self._greenlet.kill()
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
        told = None
        while not self._closing.is_set():
            client = self._client(next(uris))
            try:
                return self._establish(client)
            except (AccessRefused, NotAllowed) as error:
                if not self._was_up:
                    raise BrokerError(_refusal(client, error)) from error
                delay, state, reason = REFUSED_RETRY_S, 'refused', str(error)
            except Exception as error:
                # What no AMQP peer would send raises nearly anything; nothing of it may end the link.
                delay, state, reason = next(delays), 'no broker', str(error) or type(error).__name__
            if state != told:
                told = state
                logger.warning('%s: %s at %s (%s), trying on', self._name, state, client.host, reason)
            self._closing.wait(delay)
        return None

    def _client(self, uri: str) -> Any:
        options = {'on_blocked': self._note_blocked, 'on_unblocked': self._note_unblocked}
        return client_of(uri, self._settings, self._name, **options)

    def _establish(self, client: Any) -> Connection:
        self._connecting = True
        try:
            return establish(client, self._settings.connect_timeout_s)
        finally:
            self._connecting = False

    def _serve(self, connection: Connection) -> None:
        """Have a connection read and kept alive until it is lost."""
        self.connection = connection
        self._was_up = True
        connection.wire.reading = True
        helpers = [gevent.spawn(_read, connection), gevent.spawn(_beat, connection)]
        logger.info('%s: connected to %s', self._name, connection.host)
        error: Exception = RecoverableConnectionError('closed by us')
        try:
            self._on_up(connection)
            error = connection.wire.lost.get() or error
        finally:  # also when close() has found us about to connect, and killed us
            self.connection = None
            self.blocked = False
            self.unblocked.set()
            gevent.killall(helpers)
            connection.abandon(error)
            if not self._closing.is_set():
                logger.warning('%s: lost (%s), connecting again', self._name, error)
            self._on_down(error)

    def _note_blocked(self, reason: str) -> None:
        self.blocked = True
        self.unblocked.clear()
        if self.connection is not None:
            self.connection.bear_silence(True)
        logger.warning('%s: the broker accepts no messages for now (a resource alarm)', self._name)

    def _note_unblocked(self) -> None:
        self.blocked = False
        self.unblocked.set()
        if self.connection is not None:
            self.connection.bear_silence(False)
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
    while interval and not wire.lost.ready():
        gevent.sleep(interval / 4)
        now = time.monotonic()
        if now - wire.outbox.last_sent >= interval / 2:
            wire.outbox.write(HEARTBEAT_FRAME)
        silent_s = now - transport.last_received
        # After a target has blocked the hub the silence is ours: what came meanwhile is unread.
        if silent_s > SILENT_INTERVALS * interval and not _readable(transport.sock):
            connection.lose(TimeoutError(f'the broker was silent for {silent_s:.1f} s'))


def _readable(sock: Any) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def _refusal(client: Any, error: Exception) -> str:
    return (
        f'AMQP_URI: the broker at {client.host} refuses user {client.userid or "guest"!r} on virtual host '
        f'{client.virtual_host or "/"!r}: {error}'
    )
