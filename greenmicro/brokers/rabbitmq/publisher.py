"""Publisher: publishes on a connection and channel of its own, many messages at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import kombu
from amqp.exceptions import AMQPError, ChannelError, NotFound
from gevent.event import Event

from greenmicro.amqp.topology import Exchange, queue_of_type
from greenmicro.brokers.rabbitmq.backoff import REFUSED_RETRY_S, backoff
from greenmicro.brokers.rabbitmq.confirms import Flights, LostError
from greenmicro.brokers.rabbitmq.connection import Connection
from greenmicro.brokers.rabbitmq.contents import Content
from greenmicro.brokers.rabbitmq.link import Link
from greenmicro.brokers.rabbitmq.owners import ChannelOwner
from greenmicro.brokers.rabbitmq.publications import pack_publication
from greenmicro.brokers.rabbitmq.topology import kombu_exchange
from greenmicro.errors import BrokerError, RefusedError, StoppingError, UnavailableError, UnconfirmedError
from greenmicro.messages import Publication
from greenmicro.settings import Settings

logger = logging.getLogger(__name__)

#: How many publishes may wait for their confirm at once; more wait for room.
WINDOW = 10_000


class Publisher(ChannelOwner):
    """Publishes from any greenlet, each publish with the broker's answer to itself.

    Args:
        settings: The service's settings.
        on_fatal: Called when the broker refuses us before it was ever reached.

    Attributes:
        ready: Whether publishing is possible.
    """

    def __init__(self, settings: Settings, on_fatal: Callable[[Exception], None]) -> None:
        self._settings = settings
        self._on_fatal = on_fatal
        self._link = Link(settings, 'publish', self._serve, self._lose_connection, on_fatal)
        self._exchanges: list[Exchange] = []
        self._server: Any = None
        self._connection: Connection
        self._channel_id = 0
        self._flights = Flights()
        self._suspects = 0  # publishes of which one made the broker close the channel
        self._room = Event()
        self._error: Exception | None = None
        self._channel_lost = Event()
        self._was_up = False
        self._closed = False
        self.ready = Event()

    def declare(self, exchange: Exchange) -> None:
        """Have an exchange declared on each new channel."""
        if exchange.declared and exchange not in self._exchanges:
            self._exchanges.append(exchange)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._link.start()

    def hindrances(self) -> Iterator[str]:
        """Say why publishing is not possible at this moment, if it is not."""
        if self._link.connection is None:
            yield f'publishing: {self._link.trouble}'
        elif not self.ready.is_set():
            yield f'publishing: no channel ({self._error or "not open yet"})'
        elif self._link.blocked:
            yield 'publishing: the broker accepts no messages (a resource alarm)'

    def close(self, timeout_s: float) -> None:
        """Publish no more; what waits for its confirm gets the time to receive it."""
        self._closed = True
        self._wake()  # who waits to publish is told that we have stopped
        deadline = time.monotonic() + timeout_s
        while len(self._flights) and (left := deadline - time.monotonic()) > 0:
            self._room.clear()
            self._room.wait(left)
        self._link.close(max(0.0, deadline - time.monotonic()))
        self._wake()

    def _wake(self) -> None:
        self.ready.set()
        self._room.set()
        self._link.unblocked.set()

    # The channel's life, in a greenlet of the publisher's own.

    def _serve(self, connection: Connection) -> None:
        self._server = gevent.spawn(self._run, connection)

    def _lose_connection(self, error: Exception) -> None:
        self._lose_channel(error)
        self._server.kill()

    def _run(self, connection: Connection) -> None:
        delays = backoff(REFUSED_RETRY_S)
        told = ''
        while True:
            self._error = None
            self._channel_lost.clear()
            try:
                self._open(connection)
            except (AMQPError, OSError) as error:
                if connection.wire.lost.ready():
                    return
                reason = str(self._error or error)
                if not self._was_up:
                    self._on_fatal(BrokerError(f'an exchange to publish on: {reason}'))
                    return
                if reason != told:
                    logger.warning('publish channel: cannot be opened (%s), trying on', reason)
                    told = reason
                gevent.sleep(next(delays))
            else:
                told = ''
                self._channel_lost.wait()
                logger.warning('publish channel: lost (%s), opening another', self._error)

    def _open(self, connection: Connection) -> None:
        """Open a channel in confirm mode and declare; each step waits for the broker's answer."""
        channel = connection.channel()
        connection.wire.owners[channel.channel_id] = self
        channel.confirm_select()
        for exchange in self._exchanges:
            kombu_exchange(exchange)(channel).declare()
        if self._error is not None:  # closed again, in the same read as the last answer
            raise self._error
        self._flights = Flights()
        self._connection = connection
        self._channel_id = channel.channel_id
        self._was_up = True
        self.ready.set()

    def _lose_channel(self, error: Exception) -> None:
        if not self._closed:
            self.ready.clear()
        self._flights.lose(error)
        self._room.set()

    # What the channel tells; on the reader's greenlet.

    def confirmed(self, tag: int, multiple: bool, accepted: bool) -> None:
        """Land one flight, or all up to a tag."""
        self._flights.confirm(tag, multiple, accepted)
        self._room.set()

    def returned(self, why: str, names: tuple[str, str], content: Content) -> None:
        """Note why a message came back; its ack follows, by which it lands."""
        self._flights.bounce(why, names, content.properties.get('message_id'))

    def closed(self, error: ChannelError) -> None:
        """Hear that the broker has closed the channel: an exchange is gone, or a message too large."""
        self._error = error
        self._lose_channel(error)
        self._channel_lost.set()

    # Publishing; on any greenlet.

    def publish(self, publication: Publication) -> None:
        """Publish and return when the broker has confirmed it; see the contract."""
        deadline = time.monotonic() + self._settings.confirm_timeout_s
        try:
            self._send(publication, deadline)
        except LostError as lost:
            self._send_again(publication, deadline, lost)

    def _send_again(self, publication: Publication, deadline: float, lost: LostError) -> None:
        """Send once more what may have arrived, with the same message_id, so that a consumer can tell.

        When the broker closed the channel because of a message, and more than one was in flight, each is
        sent again alone: so the one that it was finds itself refused, and takes no other along.
        """
        # An exchange that was missing may be one of ours, and there again by then.
        if lost.by_message and lost.alone and not isinstance(lost.error, NotFound):
            raise RefusedError(f'the broker refused the message: {lost}')
        self._suspects += lost.by_message
        try:
            self._send(publication, deadline)
        except LostError as again:
            if again.by_message and again.alone:
                raise RefusedError(f'the broker refused the message: {again}') from None
            raise UnconfirmedError(f'the connection was lost twice before the confirm: {again}') from None
        except (UnavailableError, StoppingError) as error:
            raise UnconfirmedError(
                f'the connection was lost before the confirm ({lost}); it may have arrived; then: {error}'
            ) from None
        finally:
            self._suspects -= lost.by_message
            self._room.set()

    def _send(self, publication: Publication, deadline: float) -> None:
        self._wait_for_room(deadline)
        # No switch from here to the write: the broker counts publishes in the order that they are written.
        connection = self._connection
        frames = pack_publication(self._channel_id, publication, connection.frame_max)
        flight = self._flights.add(publication)
        connection.wire.outbox.write(frames)
        # Not get(timeout): it raises what the caller's own gevent.Timeout would raise too.
        flight.landed.wait(max(0.0, deadline - time.monotonic()))
        if not flight.landed.ready():
            limit = self._settings.confirm_timeout_s
            raise UnconfirmedError(f'no confirm within {limit:g} s; the message may have arrived')
        flight.landed.get()

    def _wait_for_room(self, deadline: float) -> None:
        while True:
            if self._closed:
                raise StoppingError('the service has stopped; the message was not sent')
            if self.ready.is_set() and self._connection.wire.lost.ready():
                self.ready.clear()  # what is sent from here until the link lets go of it would be lost twice
            if not self.ready.is_set():
                hindrance, over = 'the broker was not there in time', self.ready
            elif self._link.blocked:
                hindrance, over = 'the broker accepts no messages (a resource alarm)', self._link.unblocked
            elif len(self._flights) >= (1 if self._suspects else WINDOW):
                hindrance, over = 'too many messages wait for their confirm', self._room
                over.clear()
            else:
                return
            if not over.wait(max(0.0, deadline - time.monotonic())):
                raise UnavailableError(f'{hindrance}; the message was not sent')

    def declare_queue(self, name: str) -> None:
        """Declare a durable queue, on a channel of its own: a refusal must not take others' flights along.

        Raises:
            BrokerError: The broker refuses it.
            UnavailableError: There is no connection, or it is lost meanwhile.
        """
        connection = self._link.connection
        if connection is None:
            raise UnavailableError('the broker is not there')
        errand = Errand()
        try:
            channel = connection.channel()
            connection.wire.owners[channel.channel_id] = errand
            queue = queue_of_type(name, self._settings.queue_type)
            kombu.Queue(name, durable=True, queue_arguments=dict(queue.arguments) or None)(channel).declare()
            connection.wire.owners.pop(channel.channel_id, None)
            channel.close()
        except (AMQPError, OSError) as error:
            if errand.error is not None:
                raise BrokerError(str(errand.error)) from error
            raise UnavailableError(f'the connection was lost meanwhile: {error}') from error


class Errand(ChannelOwner):
    """Owns a channel for a moment, to hear why the broker closes it.

    Attributes:
        error: Why it did.
    """

    def __init__(self) -> None:
        self.error: ChannelError | None = None

    def closed(self, error: ChannelError) -> None:
        """Hear that the broker has closed the channel."""
        self.error = error
