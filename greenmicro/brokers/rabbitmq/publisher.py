"""Publisher: publishes on a connection and channel of its own, many messages at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gevent
import kombu
from amqp.exceptions import AMQPError, ChannelError
from gevent.event import Event

from greenmicro.amqp.topology import Exchange, Queue
from greenmicro.brokers.rabbitmq.backoff import REFUSED_RETRY_S, backoff
from greenmicro.brokers.rabbitmq.confirms import Flights
from greenmicro.brokers.rabbitmq.connection import Connection
from greenmicro.brokers.rabbitmq.contents import Content
from greenmicro.brokers.rabbitmq.errands import run_errand
from greenmicro.brokers.rabbitmq.link import Link
from greenmicro.brokers.rabbitmq.owners import ChannelOwner
from greenmicro.brokers.rabbitmq.publications import pack_publication
from greenmicro.brokers.rabbitmq.topology import kombu_exchange
from greenmicro.brokers.rabbitmq.tries import send_until_taken
from greenmicro.brokers.rabbitmq.window import Window
from greenmicro.errors import BlockedError, BrokerError, StoppingError, UnavailableError, UnconfirmedError
from greenmicro.messages import Publication
from greenmicro.settings import Settings

logger = logging.getLogger(__name__)

#: Who wakes so many seconds after its deadline was kept from it by a target that blocked the hub.
BLOCKED_FROM_S = 0.1
ALARM = 'the broker accepts no messages: a resource alarm'


class Publisher(ChannelOwner):
    """Publishes from any greenlet, each publish with the broker's answer to itself.

    Args:
        settings: The service's settings.
        on_fatal: Called when the broker refuses us before it was ever reached, and for what should never
            happen.

    Attributes:
        ready: Whether publishing is possible.
    """

    def __init__(self, settings: Settings, on_fatal: Callable[[Exception], None]) -> None:
        self._settings = settings
        self._on_fatal = on_fatal
        self._link = Link(settings, 'publish', self._serve, self._lose_connection, on_fatal)
        self._exchanges: list[Exchange] = []
        self._queues: dict[str, Queue] = {}
        self._server: Any = None
        self._connection: Connection
        self._channel_id = 0
        self._window = Window()
        self._landed = Event()  # something has, since it was last cleared
        self._error: Exception | None = None
        self._channel_lost = Event()
        self._was_up = False
        self._closed = False
        self.ready = Event()

    def declare(self, exchange: Exchange) -> None:
        """Have an exchange declared on each new channel."""
        if exchange.declared and exchange not in self._exchanges:
            self._exchanges.append(exchange)

    def know(self, queue: Queue) -> None:
        """Remember how a queue is to be declared, should it be missing one day."""
        self._queues[queue.name] = queue

    @property
    def connection(self) -> Connection | None:
        """The present connection, for errands on channels of their own; None if it cannot be used now."""
        return None if self._link.blocked else self._link.connection

    @property
    def blocked(self) -> bool:
        """Whether the broker accepts no messages for now, for want of memory or disk."""
        return self._link.blocked

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
        while len(self._window.flights) and (left := deadline - time.monotonic()) > 0:
            self._landed.clear()
            self._landed.wait(left)
        self._link.close(max(0.0, deadline - time.monotonic()))
        self._wake()

    def _wake(self) -> None:
        self.ready.set()
        self._landed.set()
        self._link.unblocked.set()
        self._window.let_all_in()

    # The channel's life, in a greenlet of the publisher's own.

    def _serve(self, connection: Connection) -> None:
        self._server = gevent.spawn(self._run, connection)
        # Without it the service would go on, and publish nothing.
        self._server.link_exception(lambda dead: self._on_fatal(dead.exception))

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
        self._window.flights = Flights()
        self._connection = connection
        self._channel_id = channel.channel_id
        self._was_up = True
        self.ready.set()

    def _lose_channel(self, error: Exception) -> None:
        if not self._closed:
            self.ready.clear()
        self._window.flights.lose(error)
        self._note_landing()

    # What the channel tells; on the reader's greenlet.

    def confirmed(self, tag: int, multiple: bool, accepted: bool) -> None:
        """Land one flight, or all up to a tag."""
        self._window.flights.confirm(tag, multiple, accepted)
        self._note_landing()

    def _note_landing(self) -> None:
        self._landed.set()
        self._window.let_in()

    def returned(self, why: str, names: tuple[str, str], content: Content) -> None:
        """Note why a message came back; its ack follows, by which it lands."""
        self._window.flights.bounce(why, names, content.properties.get('message_id'))

    def closed(self, error: ChannelError) -> None:
        """Hear that the broker has closed the channel: an exchange is gone, or a message too large."""
        self._error = error
        self._lose_channel(error)
        self._channel_lost.set()

    # Publishing; on any greenlet.

    def publish(self, publication: Publication) -> None:
        """Publish and return when the broker has confirmed it; see the contract."""
        limit_s = publication.timeout_s
        if limit_s is None:
            limit_s = self._settings.confirm_timeout_s
        deadline = time.monotonic() + limit_s
        send_until_taken(partial(self._send, publication, deadline, limit_s), self._window, deadline)

    def _send(self, publication: Publication, deadline: float, limit_s: float, group: int) -> None:
        try:
            self._wait_for_room(deadline, group)
            # No switch from here to the write: the broker counts publishes as they are written.
            connection = self._connection
            frames = pack_publication(self._channel_id, publication, connection.frame_max)
            flights = self._window.flights
            flight = flights.add(publication)
            connection.wire.outbox.write(frames)
        finally:  # whoever was let in lets the next one in, also when it does not fly after all
            self._window.let_in()
        del frames  # they are the writer's; kept here they would be there until the confirm
        flights.wait(flight, deadline)
        if not flight.landed and (late_s := time.monotonic() - deadline) > BLOCKED_FROM_S:
            # A target has blocked the hub: the confirm may be here, unread, or the message not yet written.
            flights.wait(flight, time.monotonic() + min(late_s, limit_s))
        if not flight.landed:
            why = f' ({ALARM})' if self._link.blocked else ''
            raise UnconfirmedError(f'no confirm within {limit_s:g} s{why}; the message may have arrived')
        if flight.error is not None:
            raise flight.error

    def _wait_for_room(self, deadline: float, group: int) -> None:
        while True:
            if self._closed:
                raise StoppingError('the service has stopped; the message was not sent')
            if self.ready.is_set() and self._connection.wire.lost.ready():
                self.ready.clear()  # what is sent from here until the link lets go of it would be lost twice
            left_s = max(0.0, deadline - time.monotonic())
            if not self.ready.is_set():
                if not self.ready.wait(left_s):
                    raise UnavailableError('the broker was not there in time; the message was not sent')
            elif self._link.blocked:
                if not self._link.unblocked.wait(left_s):
                    raise BlockedError(f'{ALARM}; the message was not sent')
            elif self._window.open:
                return
            elif not self._window.wait(left_s, group) and not self._link.blocked:
                raise UnavailableError('too many messages wait for their confirm; the message was not sent')

    def declare_queue(self, name: str) -> Queue:
        """Declare a queue, on a channel of its own: a refusal must not take others' flights along.

        Returns:
            How it was declared.

        Raises:
            BrokerError: The broker refuses it.
            UnavailableError: There is no connection, or it is lost meanwhile.
            BlockedError: A resource alarm; the broker would not answer until its end.
        """
        connection = self.connection
        if connection is None:
            raise BlockedError(ALARM) if self._link.blocked else UnavailableError('the broker is not there')
        queue = self._queues.get(name, Queue(name))
        declared = kombu.Queue(name, durable=True, queue_arguments=dict(queue.arguments) or None)
        run_errand(connection, lambda channel: declared(channel).declare())
        return queue
