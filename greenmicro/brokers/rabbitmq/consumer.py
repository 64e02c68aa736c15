"""RabbitConsumer: reads one queue, on a channel of its own, and carries settlements out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gevent
import kombu
from amqp.exceptions import AMQPError, ChannelError
from gevent.event import Event
from gevent.pool import Group

from greenmicro.amqp.topology import Subscription
from greenmicro.brokers.base import Consumer, Receive
from greenmicro.brokers.rabbitmq.confirms import Publisher
from greenmicro.brokers.rabbitmq.connection import REFUSED_RETRY_S, Connection, backoff
from greenmicro.brokers.rabbitmq.deliveries import Deliveries
from greenmicro.brokers.rabbitmq.topology import kombu_queue
from greenmicro.brokers.rabbitmq.wire import Content
from greenmicro.errors import BrokerError, PublishError, StoppingError, UnroutableError
from greenmicro.messages import Message, Outcome, Publication, Settlement
from greenmicro.retry import dead_letter

logger = logging.getLogger(__name__)

#: A quorum queue drops a message that was given back too often. From this count on it is republished
#: instead, which sets the count back; limits that make sense to anyone are above it.
GIVEN_BACK_MOST = 5
#: The longest delay, in seconds, between two tries to write a dead letter.
BURY_RETRY_MAX_S = 5.0


class RabbitConsumer(Consumer):
    """Consumes from one queue, on each connection anew: declares it, binds it, reads it.

    Args:
        subscription: The queue and what feeds it.
        receive: Called for each message, on the reader's greenlet.
        publisher: Publishes dead letters.
        reconnect_max_s: The longest delay between two tries to consume, in seconds.
        on_fatal: Called when the broker refuses the queue before it was ever consumed from.
    """

    def __init__(
        self,
        subscription: Subscription,
        receive: Receive,
        publisher: Publisher,
        reconnect_max_s: float,
        on_fatal: Callable[[Exception], None],
    ) -> None:
        self._subscription = subscription
        self._receive = receive
        self._publisher = publisher
        self._reconnect_max_s = reconnect_max_s
        self._on_fatal = on_fatal
        self._queue = subscription.queue.name
        self._deliveries = Deliveries(self._queue, subscription.prefetch)
        self._server: Any = None
        self._changed = Event()  # the channel is lost, or we are to stop
        self._error: Exception | None = None
        self._stopping = False
        self._was_up = False
        self._republishing = Group()
        self.ready = Event()
        self.stopped = Event()

    # The channel's life, in a greenlet of the consumer's own.

    def serve(self, connection: Connection) -> None:
        """Consume on a new connection until it is lost; returns at once."""
        self._server = gevent.spawn(self._run, connection)

    def lose_connection(self) -> None:
        """Let go of the connection; what it left unsettled comes again."""
        gevent.kill(self._server)
        self._lose_channel()
        if self._stopping:
            self.stopped.set()

    def stop(self) -> None:
        """Begin to stop: `stopped` is set once the broker delivers no more."""
        self._stopping = True
        if self._server is None or self._server.dead:
            self.stopped.set()
        self._changed.set()

    def settle_open(self, timeout_s: float) -> None:
        """Wait for what is being republished or dead-lettered."""
        self._republishing.join(timeout_s)

    def _run(self, connection: Connection) -> None:
        delays = backoff(self._reconnect_max_s)
        while not self._stopping:
            self._error = None
            self._changed.clear()
            try:
                consumer = self._open(connection)
                delays = backoff(self._reconnect_max_s)
                self._changed.wait()
                if self._error is None:  # so we are to stop; settling goes on on this channel
                    consumer.cancel()
                    break
            except (AMQPError, OSError) as error:
                self._error = self._error or error
                if connection.wire.lost.ready():
                    return
            self._lose_channel()
            if isinstance(self._error, ChannelError) and not self._was_up:
                self._on_fatal(BrokerError(f'queue {self._queue!r}: {self._error}'))
                return
            logger.warning('queue %s: no longer consuming (%s), trying again', self._queue, self._error)
            gevent.sleep(REFUSED_RETRY_S if isinstance(self._error, ChannelError) else next(delays))
        self.stopped.set()

    def _open(self, connection: Connection) -> Any:
        """Open a channel, declare, and consume; each step waits for the broker's answer."""
        channel = connection.channel()
        wire = connection.wire
        # Before consuming: the first delivery may come in the same read as consume-ok.
        wire.owners[channel.channel_id] = self
        self._deliveries.open(channel.channel_id, wire.outbox.write_from)
        consumer = kombu.Consumer(
            channel, [kombu_queue(self._subscription)], prefetch_count=self._subscription.prefetch
        )
        consumer.consume()
        if self._was_up:
            logger.info('queue %s: consuming again', self._queue)
        self._was_up = True
        self.ready.set()
        return consumer

    def _lose_channel(self) -> None:
        self.ready.clear()
        self._deliveries.lose()

    # What the channel tells; on the reader's greenlet.

    def delivered(self, tag: int, redelivered: bool, names: tuple[str, str], content: Content) -> None:
        """Take a message, unless its run of before is to settle it."""
        message = self._deliveries.take_in(tag, redelivered, names, content)
        if message is not None:
            self._receive(message)

    def cancelled(self) -> None:
        """Hear that the queue is gone, or moved: open a new channel, which declares it again."""
        self._lose(BrokerError('cancelled by the broker; was the queue deleted?'))

    def closed(self, error: ChannelError) -> None:
        """Hear that the broker has closed the channel."""
        self._lose(error)

    def returned(self, code: int, text: str, content: Content) -> None:
        """Take no note: nothing is published on this channel."""

    def confirmed(self, tag: int, multiple: bool, accepted: bool) -> None:
        """Take no note: nothing is published on this channel."""

    def _lose(self, error: Exception) -> None:
        self._error = error
        self._changed.set()

    # Settlements; on the greenlet that ran the message, or that reads its child.

    def begin(self, message: Message) -> bool:
        """Say whether a message is still ours; see the contract."""
        return self._deliveries.begin(message)

    def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
        """Carry a settlement out; see the contract."""
        if settlement is Settlement.ACK:
            self._deliveries.ack(message)
        elif settlement is Settlement.GIVE_BACK:
            self._give_back(message)
        elif settlement is Settlement.DEAD_LETTER:
            assert outcome.failure is not None
            self._republishing.spawn(self._republish, message, dead_letter(message, outcome.failure))
        else:
            raise NotImplementedError(f'{settlement} of {message!r}')

    def _give_back(self, message: Message) -> None:
        count = message.headers.get('x-delivery-count')
        if isinstance(count, int) and count >= GIVEN_BACK_MOST:
            self._republishing.spawn(self._republish, message, _copy(message))
        else:
            self._deliveries.give_back(message)

    def _republish(self, message: Message, publication: Publication) -> None:
        """Publish to the queue that a message moves to, for as long as it takes; then ack it."""
        delays = backoff(BURY_RETRY_MAX_S)
        told = False
        while True:
            try:
                self._publisher.publish(publication)
            except StoppingError:
                self._deliveries.give_back(message)
                return
            except UnroutableError:
                self._declare(publication.routing_key)
            except PublishError as error:
                if not told:
                    logger.error(
                        'queue %s cannot be written (%s): the message stays', publication.routing_key, error
                    )
                    told = True
                gevent.sleep(next(delays))
            else:
                self._deliveries.ack(message)
                return

    def _declare(self, queue: str) -> None:
        try:
            self._publisher.declare_queue(queue)
        except (AMQPError, OSError, PublishError) as error:
            logger.error('queue %s is missing and cannot be declared: %s', queue, error)
            gevent.sleep(REFUSED_RETRY_S)


def _copy(message: Message) -> Publication:
    headers = {key: value for key, value in message.headers.items() if not key.startswith('x-')}
    return Publication('', message.queue, message.body, message.properties, headers, mandatory=True)
