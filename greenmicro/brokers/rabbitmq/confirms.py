"""Publisher: many publishes in flight on one channel, each with the broker's answer to itself."""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Callable
from typing import Any

import amqp
import gevent
import kombu
from amqp import spec
from amqp.exceptions import AMQPError, ChannelError, FrameSyntaxError
from gevent.event import AsyncResult, Event

from greenmicro.amqp.topology import Exchange, queue_of_type
from greenmicro.brokers.rabbitmq.connection import REFUSED_RETRY_S, Connection, Link, backoff
from greenmicro.brokers.rabbitmq.topology import kombu_exchange
from greenmicro.brokers.rabbitmq.transport import METHOD
from greenmicro.brokers.rabbitmq.wire import METHOD_ID, Content, pack_content, pack_frame
from greenmicro.errors import (
    BrokerError,
    PayloadError,
    RefusedError,
    StoppingError,
    UnavailableError,
    UnconfirmedError,
    UnroutableError,
)
from greenmicro.messages import Publication
from greenmicro.settings import Settings

logger = logging.getLogger(__name__)

#: How many publishes may wait for their confirm at once; more wait for room.
WINDOW = 10_000
PUBLISH_HEAD = METHOD_ID.pack(*spec.Basic.Publish) + b'\0\0'
SHORT_LIMIT = 255


class Flight:
    """One message on its way to the broker.

    Attributes:
        message_id: By which a returned message is known.
        returned: Why the broker returned it; its ack follows.
        landed: Resolved with None when it is safe, else with the error.
    """

    __slots__ = ('landed', 'message_id', 'returned')

    def __init__(self, message_id: str | None) -> None:
        self.message_id = message_id
        self.returned = ''
        self.landed: AsyncResult[None] = AsyncResult()


class LostError(Exception):
    """The channel was lost before the broker's answer; the message may have arrived."""


class Publisher:
    """Publishes on a connection of its own, with confirms tracked by tag.

    amqp's own confirm mode takes any ack for its own: of 10 greenlets on one channel 4 failed, and a late
    ack confirmed a message that the broker had refused.

    Args:
        settings: The service's settings.
        on_fatal: Called when the broker refuses us before it was ever reached.
    """

    def __init__(self, settings: Settings, on_fatal: Callable[[Exception], None]) -> None:
        self._settings = settings
        self._on_fatal = on_fatal
        self._link = Link(settings, 'publish', self._serve, self._lose_connection, on_fatal)
        self._exchanges: list[Exchange] = []
        self._channel: Any = None
        self._write: Callable[[bytes], None]
        self._frame_max = 0
        self._tag = 0
        self._oldest = 1
        self._flights: dict[int, Flight] = {}
        self._room = Event()
        self._changed = Event()
        self._server: Any = None
        self._error: Exception | None = None
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

    def close(self, timeout_s: float) -> None:
        """Publish no more; what waits for its confirm gets the time to receive it."""
        deadline = time.monotonic() + timeout_s
        while self._flights and time.monotonic() < deadline and self.ready.is_set():
            self._room.clear()
            self._room.wait(deadline - time.monotonic())
        self._closed = True
        self.ready.set()  # who waits for it is told that we have stopped
        self._link.close(max(0.0, deadline - time.monotonic()))

    # The channel's life, in a greenlet of the publisher's own.

    def _serve(self, connection: Connection) -> None:
        self._server = gevent.spawn(self._run, connection)

    def _lose_connection(self, error: Exception) -> None:
        gevent.kill(self._server)
        self._lose_channel(error)

    def _run(self, connection: Connection) -> None:
        delays = backoff(REFUSED_RETRY_S)
        while True:
            self._error = None
            self._changed.clear()
            try:
                self._open(connection)
                self._changed.wait()
            except (AMQPError, OSError) as error:
                if connection.wire.lost.ready():
                    return
                self._error = self._error or error
            if not self._was_up:
                self._on_fatal(BrokerError(f'exchange: {self._error}'))
                return
            logger.warning('publish channel: lost (%s), opening another', self._error)
            gevent.sleep(next(delays))

    def _open(self, connection: Connection) -> None:
        """Open a channel in confirm mode and declare; each step waits for the broker's answer."""
        channel = connection.channel()
        connection.wire.owners[channel.channel_id] = self
        channel.confirm_select()
        for exchange in self._exchanges:
            kombu_exchange(exchange)(channel).declare()
        self._tag = 0
        self._oldest = 1
        self._channel = channel
        self._write = connection.wire.outbox.write
        self._frame_max = connection.frame_max
        self._was_up = True
        self.ready.set()

    def _lose_channel(self, error: Exception) -> None:
        if not self._closed:
            self.ready.clear()
        flights, self._flights = self._flights, {}
        for flight in flights.values():
            flight.landed.set_exception(LostError(str(error)))
        self._room.set()

    # What the channel tells; on the reader's greenlet.

    def confirmed(self, tag: int, multiple: bool, accepted: bool) -> None:
        """Land one flight, or all up to a tag."""
        if multiple:
            for earlier in range(self._oldest, tag):
                self._land(earlier, accepted)
            self._oldest = tag + 1
        self._land(tag, accepted)
        self._room.set()

    def _land(self, tag: int, accepted: bool) -> None:
        flight = self._flights.pop(tag, None)
        if flight is None:
            return
        if not accepted:
            flight.landed.set_exception(RefusedError('the broker refused the message; is its queue full?'))
        elif flight.returned:
            flight.landed.set_exception(UnroutableError(flight.returned))
        else:
            flight.landed.set(None)

    def returned(self, code: int, text: str, content: Content) -> None:
        """Note why a message came back; its ack follows, by which it lands."""
        message_id = content.properties.get('message_id')
        for flight in self._flights.values():
            if flight.message_id == message_id and not flight.returned:
                flight.returned = f'no queue takes the message ({code} {text})'
                return

    def closed(self, error: ChannelError) -> None:
        """Hear that the broker has closed the channel: an exchange is gone, or a message too large."""
        self._lose_channel(error)
        self._error = error
        self._changed.set()

    def delivered(self, tag: int, redelivered: bool, names: tuple[str, str], content: Content) -> None:
        """Take no note: nothing is consumed on this channel."""

    def cancelled(self) -> None:
        """Take no note: nothing is consumed on this channel."""

    # Publishing; on any greenlet.

    def publish(self, publication: Publication) -> None:
        """Publish and return when the broker has confirmed it; see the contract."""
        deadline = time.monotonic() + self._settings.confirm_timeout_s
        try:
            self._send(publication, deadline)
        except LostError:
            # It may have arrived: once more, with the same message_id, so that a consumer can tell.
            try:
                self._send(publication, deadline)
            except LostError as error:
                raise UnconfirmedError(f'the connection was lost before the confirm: {error}') from None

    def _send(self, publication: Publication, deadline: float) -> None:
        self._wait_for_room(deadline)
        flight = Flight(publication.properties.get('message_id'))
        channel_id = self._channel.channel_id
        frames = pack_publication(channel_id, publication, self._frame_max)
        self._tag += 1
        self._flights[self._tag] = flight
        self._write(frames)
        try:
            flight.landed.get(timeout=max(0.0, deadline - time.monotonic()))
        except gevent.Timeout:
            limit = self._settings.confirm_timeout_s
            raise UnconfirmedError(f'no confirm within {limit:g} s; the message may have arrived') from None

    def _wait_for_room(self, deadline: float) -> None:
        while True:
            if self._closed:
                raise StoppingError('the service has stopped; the message was not sent')
            left = deadline - time.monotonic()
            if left <= 0:
                raise UnavailableError(f'{self._hindrance()}; the message was not sent')
            if not self.ready.is_set():
                self.ready.wait(left)
            elif self._link.blocked:
                self._link.unblocked.wait(left)
            elif len(self._flights) >= WINDOW:
                self._room.clear()
                self._room.wait(left)
            else:
                return

    def _hindrance(self) -> str:
        if not self.ready.is_set():
            return 'the broker was not there in time'
        if self._link.blocked:
            return 'the broker accepts no messages (a resource alarm)'
        return f'{WINDOW} messages wait for their confirm'

    def declare_queue(self, name: str) -> None:
        """Declare a durable queue, on a channel of its own: a refusal must not take others' flights along.

        Raises:
            AMQPError: The broker refuses it, or the connection is lost.
            UnavailableError: There is no connection.
        """
        connection = self._link.connection
        if connection is None:
            raise UnavailableError('the broker is not there')
        channel = connection.channel()
        queue = queue_of_type(name, self._settings.queue_type)
        kombu.Queue(name, durable=True, queue_arguments=dict(queue.arguments) or None)(channel).declare()
        channel.close()


def pack_publication(channel: int, publication: Publication, frame_max: int) -> bytes:
    """Return the frames that publish a message.

    Args:
        channel: The channel's number.
        publication: What to publish, and where to.
        frame_max: The largest frame that the broker takes, in bytes.

    Raises:
        PayloadError: A name is too long, or a property or header is of a type that AMQP does not carry.
    """
    names = b''
    for what, name in (('exchange', publication.exchange), ('routing key', publication.routing_key)):
        raw = name.encode()
        if len(raw) > SHORT_LIMIT:
            raise PayloadError(
                f'{what}: wanted at most {SHORT_LIMIT} bytes, found {len(raw)}: {name[:40]!r}...'
            )
        names += bytes([len(raw)]) + raw
    method = pack_frame(METHOD, channel, PUBLISH_HEAD + names + bytes([publication.mandatory]))
    properties = dict(publication.properties)
    if publication.headers:
        properties['application_headers'] = dict(publication.headers)
    content = amqp.Message(publication.body, **properties)
    try:
        return method + pack_content(channel, content, frame_max)
    except (FrameSyntaxError, struct.error, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, PayloadError):
            raise
        raise PayloadError(f'properties or headers that AMQP cannot carry: {error}') from error
