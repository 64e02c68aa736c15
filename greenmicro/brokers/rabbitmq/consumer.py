"""RabbitConsumer: reads one queue, on a channel of its own, and carries settlements out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import kombu
from amqp.exceptions import AMQPError, ChannelError
from gevent.event import Event

from greenmicro.amqp.topology import Subscription
from greenmicro.brokers.base import Consumer, Lose, Receive
from greenmicro.brokers.rabbitmq.connection import Connection
from greenmicro.brokers.rabbitmq.contents import Content
from greenmicro.brokers.rabbitmq.crashes import Fate, Suspicion, lost, moved
from greenmicro.brokers.rabbitmq.deliveries import Deliveries
from greenmicro.brokers.rabbitmq.moves import Moves
from greenmicro.brokers.rabbitmq.owners import ChannelOwner
from greenmicro.brokers.rabbitmq.refusals import Refusals
from greenmicro.brokers.rabbitmq.republisher import Republisher
from greenmicro.brokers.rabbitmq.topology import kombu_queue
from greenmicro.copies import names_of, retry_of
from greenmicro.dead_letters import dead_letter
from greenmicro.errors import BrokerError
from greenmicro.messages import Message, Outcome, Publication, Settlement

logger = logging.getLogger(__name__)

#: A quorum queue drops a message that came back to it too often, given back or with a lost connection. From
#: this count on it is republished as it arrives, which sets the count back; limits that make sense to anyone
#: are above it.
CAME_BACK_MOST = 5
#: How long a stop waits, in seconds, for copies whose originals are not settled yet.
MOVES_TIMEOUT_S = 2.0
#: A quorum queue's client in the broker takes 32 commands at once, and stows further acks away until those
#: are committed; with its channel it forgets them: 166 of 199 acks that were written right before a close,
#: which then ran again. So that comes so much later than the last of them, in seconds: at least, at most, and
#: by how long the cancel took, which is a commit as well.
SEEN_OUT_LEAST_S = 0.05
SEEN_OUT_MOST_S = 2.0
SEEN_OUT_CANCELS = 4


class RabbitConsumer(Consumer, ChannelOwner):
    """Consumes from one queue, on each connection anew: declares it, binds it, reads it.

    Args:
        subscription: The queue and what feeds it.
        receive: Called for each message, on the reader's greenlet.
        lose: Called for one that is to be run no more.
        republisher: Carries dead letters and retries.
        reconnect_max_s: The longest delay between two tries to consume, in seconds.
        max_crashes: At how many processes that ended with it a message is dead-lettered.
        on_fatal: Called when the broker refuses the queue before it was ever consumed from, and for what
            should never happen.

    Attributes:
        lasting: Whether it goes on until the connection is closed.
        sole: Whether its queue is a lock, which another one may have.
        ready: Whether it is consuming.
        stopped: Set once the broker delivers no more.
    """

    def __init__(
        self,
        subscription: Subscription,
        receive: Receive,
        lose: Lose,
        republisher: Republisher,
        reconnect_max_s: float,
        max_crashes: int,
        on_fatal: Callable[[Exception], None],
    ) -> None:
        self._subscription = subscription
        self._receive = receive
        self._lose_message = lose
        self._republisher = republisher
        self._on_fatal = on_fatal
        self._queue = subscription.queue.name
        self._deliveries = Deliveries(subscription.prefetch)
        counts = subscription.queue.arguments.get('x-queue-type') == 'quorum'
        self._suspicion = Suspicion(max_crashes, counts, self._deliveries.holds)
        self._moves = Moves(republisher, self._deliveries, self._settle_channel, receive)
        self._server: Any = None
        self._channel: Any = None
        self._stopping = Event()
        self._changed = Event()  # the channel is lost, or we are to stop
        self._error: Exception | None = None
        self._cancel_s = 0.0
        self._losses = 0
        self._refusals = Refusals(subscription, reconnect_max_s)
        self.lasting = subscription.lasting
        self.sole = subscription.sole
        self.ready = Event()
        self.stopped = Event()

    # The channel's life, in a greenlet of the consumer's own.

    def serve(self, connection: Connection) -> None:
        """Consume on a new connection until it is lost; returns at once."""
        self._server = gevent.spawn(self._run, connection)
        # Without it the service would go on, and consume nothing.
        self._server.link_exception(lambda dead: self._on_fatal(dead.exception))

    def lose_connection(self, error: Exception) -> None:
        """Let go of the connection; what it left unsettled comes again."""
        self._lose(error)
        self._server.kill()
        if self._stopping.is_set():
            self.stopped.set()

    def hindrances(self) -> Iterator[str]:
        """Say why it is not consuming at this moment, if it is not."""
        if not self.ready.is_set() and not self.sole:
            why = self._error or self._refusals.told or 'no connection yet'
            yield f'queue {self._queue}: not consuming ({why})'

    @property
    def active(self) -> bool:
        """Whether it is consuming at this moment."""
        return self.ready.is_set()

    @property
    def losses(self) -> int:
        """How many of its channels were lost so far."""
        return self._losses

    def stop(self) -> None:
        """Begin to stop: `stopped` is set once the broker delivers no more."""
        self._stopping.set()
        self._changed.set()
        if self._server is None or self._server.dead:
            self.stopped.set()

    def _run(self, connection: Connection) -> None:
        while not self._stopping.is_set():
            self._error = None
            self._changed.clear()
            consumer = None
            try:
                consumer = self._open(connection)
                self._changed.wait()
                if self._error is None:  # so we are to stop; settling goes on on this channel
                    began = time.monotonic()
                    consumer.cancel()
                    self._cancel_s = time.monotonic() - began
                    self._moves.wait(MOVES_TIMEOUT_S)
                    break
            except (AMQPError, OSError) as error:
                self._error = self._error or error
            if connection.wire.lost.ready():
                return
            if self._refusals.is_final(self._error):
                self._on_fatal(BrokerError(f'queue {self._queue!r}: {self._error}'))
                break
            self._refusals.tell(self._error)
            self._close_channel(consumer)
            self._stopping.wait(self._refusals.delay_s(self._error, consumer is not None))
        self.stopped.set()

    def _open(self, connection: Connection) -> Any:
        """Open a channel, declare, and consume; each step waits for the broker's answer."""
        channel = self._channel = connection.channel()
        wire = connection.wire
        # Before consuming: the first delivery may come in the same read as consume-ok.
        wire.owners[channel.channel_id] = self
        self._deliveries.open(channel.channel_id, wire.outbox.write_from)
        subscription = self._subscription.present()
        consumer = kombu.Consumer(channel, [kombu_queue(subscription)], prefetch_count=subscription.prefetch)
        consumer.consume()
        if self._error is None:
            self._refusals.note_up()
            self.ready.set()
        return consumer

    def _settle_channel(self) -> None:
        # A channel works in order: when it answers this, which changes nothing for its consumer, it has
        # carried out the acks that were written before. One that does not consume yet has none, and is
        # about to ask the same, of which amqp may take two answers for one.
        if self.ready.is_set():
            self._channel.basic_qos(0, self._subscription.prefetch, False)

    def see_acks_out(self) -> None:
        """Wait until the broker has carried out what was settled last, as far as that can be known."""
        wait_s = min(max(SEEN_OUT_LEAST_S, SEEN_OUT_CANCELS * self._cancel_s), SEEN_OUT_MOST_S)
        if self._deliveries.since_written_s() < wait_s:
            try:
                self._settle_channel()
            except (AMQPError, OSError):
                return  # there is nobody to wait for
            gevent.sleep(max(0.0, wait_s - self._deliveries.since_written_s()))

    def _close_channel(self, consumer: Any) -> None:
        # After a cancel by the broker it is still open, and what was delivered on it still ours.
        if consumer is not None:
            try:
                consumer.channel.close()
            except (AMQPError, OSError) as error:
                logger.debug('queue %s: channel lost while closing it: %s', self._queue, error)

    def _lose(self, error: Exception) -> None:
        """Let go of the channel at once: what workers settle from now on must not be written to it."""
        self.ready.clear()
        self._losses += 1
        self._deliveries.lose()
        self._error = error
        self._changed.set()

    # What the channel tells; on the reader's greenlet.

    def delivered(self, tag: int, redelivered: bool, names: tuple[str, str], content: Content) -> None:
        """Take a message, unless its run of before is to settle it."""
        message = Message(
            content.body,
            content.properties,
            content.headers,
            *names,
            self._queue,
            redelivered,
            content.unreadable,
            self._deliveries.delivery(tag),
        )
        if message.headers and (origin := names_of(message)) != names:
            message = message._replace(exchange=origin[0], routing_key=origin[1])
        if self._deliveries.take_in(message):
            if message.redelivered or message.suspicions:
                self._receive_again(message)
            else:
                self._receive(message)

    def _receive_again(self, message: Message) -> None:
        """Take a message that came before: it may have killed processes, or be about to be dropped."""
        fate, publication, suspicions = self._suspicion.judge(message, message.delivery.suspect)
        if suspicions > max(1, message.suspicions):  # the first may have been any process's end
            logger.error('%r: %d times a process ended with it, %s', message, suspicions, fate.value)
        if fate is Fate.LOST:
            self._lose_message(message, lost(suspicions))
        elif publication is None:
            count = message.headers.get('x-delivery-count')
            if isinstance(count, int) and count >= CAME_BACK_MOST:
                self._moves.move(message, moved(message))
            else:
                self._moves.receive(message)
        else:
            self._moves.move(message, publication)

    def cancelled(self) -> None:
        """Hear that the queue is gone, or moved, or that we held a message for too long (RabbitMQ 4.3)."""
        self._lose(
            BrokerError('cancelled by the broker; was the queue deleted? Or its consumer_timeout over?')
        )

    def closed(self, error: ChannelError) -> None:
        """Hear that the broker has closed the channel."""
        self._lose(error)

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
            self._republisher.move(message, dead_letter(message, outcome.failure), self._deliveries)
        elif settlement is Settlement.RETRY:
            assert outcome.failure is not None
            self._republisher.move(message, retry_of(message, outcome.failure), self._deliveries)

    def answer(self, message: Message, reply: Publication, otherwise: Publication) -> None:
        """Publish a reply, then ack; see the contract."""

        def refused(message: Message) -> None:
            self._republisher.move(message, otherwise, self._deliveries)

        self._republisher.move(message, reply, self._deliveries, refused)

    def _give_back(self, message: Message) -> None:
        if self._stopping.is_set() and not self.stopped.is_set():
            return  # it would come straight back; it goes back when the connection is closed
        if (message.redelivered or message.suspicions) and message.delivery.doubt is None:
            # Given back once more, it would raise suspicion.
            self._moves.move(message, moved(message), self._deliveries.give_back)
        else:
            self._deliveries.give_back(message)
