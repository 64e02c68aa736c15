"""Link: one connection to RabbitMQ, made again whenever it is lost."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable
from typing import Any

import gevent
from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, RecoverableConnectionError
from gevent import monkey
from gevent.event import Event

from greenmicro.brokers.rabbitmq.connection import Connection, client_of, establish
from greenmicro.brokers.rabbitmq.encryption import distrust
from greenmicro.brokers.rabbitmq.heartbeats import HEARTBEATS, Pulse
from greenmicro.brokers.rabbitmq.hosts import Host, Hosts
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
        trouble: Why there is no connection, while there is none.
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
        self._hosts = Hosts(settings.amqp_uri, settings.reconnect_max_s)
        self._on_up = on_up
        self._on_down = on_down
        self._on_fatal = on_fatal
        self._closing = Event()
        self._connecting = False
        self._was_up = False
        self._up_at = float('-inf')
        self._greenlet: Any = None
        self.connection: Connection | None = None
        self.blocked = False
        self.unblocked = Event()
        self.trouble = 'not connected yet'

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
        while not self._closing.is_set():
            try:
                connection = self._connect()
            except BrokerError as error:
                self._on_fatal(error)
                return
            if connection is not None:
                self._serve(connection)

    def _connect(self) -> Connection | None:
        """Try one host after the other until connected; None when the link is closed meanwhile."""
        if time.monotonic() - self._up_at > self._settings.reconnect_max_s:
            self._hosts.reset()
        while not self._closing.is_set():
            host, delay_s = self._hosts.next()
            if delay_s and self._closing.wait(delay_s):
                return None
            try:
                connection = self._establish(host)
                self._up_at = time.monotonic()
                host.note(
                    'lost', False
                )  # and at once, should it come to that: then no hot loop is made of it
                return connection
            except Exception as error:
                # What no AMQP peer would send raises nearly anything; nothing of it may end the link.
                refusal = _refusal(host, error)
                if refusal and not self._was_up:
                    raise BrokerError(refusal) from error
                state = 'refused' if refusal else 'no broker'
                reason = str(error) or type(error).__name__
                self.trouble = f'{state} at {host.address} ({reason})'
                if host.note(state, bool(refusal)):
                    logger.warning('%s: %s, trying on', self._name, self.trouble)
        return None

    def _establish(self, host: Host) -> Connection:
        options = {'on_blocked': self._note_blocked, 'on_unblocked': self._note_unblocked}
        self._connecting = True
        try:
            client = client_of(host.uri, self._settings, self._name, **options)
            return establish(client, self._settings.connect_timeout_s)
        finally:
            self._connecting = False

    def _serve(self, connection: Connection) -> None:
        """Have a connection read and kept alive until it is lost."""
        self.connection = connection
        self._was_up = True
        connection.wire.reading = True
        limit_s = self._settings.hub_stall_limit_s
        helpers: list[Any] = [gevent.spawn(_read, connection), gevent.spawn(_keep_alive, connection, limit_s)]
        logger.info('%s: connected to %s', self._name, connection.host)
        error: Exception = RecoverableConnectionError('closed by us')
        try:
            self._on_up(connection)
            error = connection.wire.lost.get() or error
        finally:  # also when close() has found us about to connect, and killed us
            self.connection = None
            self.trouble = f'connection lost ({error})'
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
    read_frames, take = connection.transport.read_frames, connection.wire.take
    try:
        while True:
            take(read_frames())
    except Exception as error:
        # Whatever a peer sends or breaks ends its connection, never the process.
        connection.lose(error)


def _keep_alive(connection: Connection, stall_limit_s: float) -> None:
    """Have heartbeats sent, and notice when the broker is gone."""
    interval, wire, transport = connection.heartbeat, connection.wire, connection.transport
    if not interval:
        return
    pulse = Pulse(wire.outbox, interval, stall_limit_s)
    HEARTBEATS.add(pulse)
    try:
        while not wire.lost.ready():
            gevent.sleep(interval / 4)
            pulse.hub_ran_at = now = time.monotonic()
            silent_s = now - transport.last_received
            # After a target has blocked the hub the silence is ours: what came meanwhile is unread.
            if silent_s > SILENT_INTERVALS * interval and not _readable(transport.sock):
                connection.lose(TimeoutError(f'the broker was silent for {silent_s:.1f} s'))
    finally:
        HEARTBEATS.remove(pulse)


def _readable(sock: Any) -> bool:
    # Not select(), which raises for descriptors from 1024 on; and the plain poll(), as gevent's would switch.
    poll = monkey.get_original('select', 'poll')()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _refusal(host: Host, error: Exception) -> str | None:
    """Say what an operator has to change before a host can be used; None if it may come by itself.

    A certificate that is not trusted is such a thing as a password that is wrong: at the first start it is a
    fault of the service's settings or of the broker's, and a service that tried on would look healthy.
    """
    if isinstance(error, BrokerError):
        return str(error)
    if isinstance(error, (AccessRefused, NotAllowed)):
        return f'AMQP_URI: the broker at {host.address} refuses {host.who}: {error}'
    if why := distrust(error):
        return f'AMQP_SSL: no TLS with the broker at {host.address}: {why}'
    return None
