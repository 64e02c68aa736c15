"""MemoryBroker: the broker inside the process, for a first run and for tests."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator

import gevent
from gevent.event import Event

from greenmicro.amqp.topology import Exchange, Subscription, dead_queue_of
from greenmicro.brokers.base import Broker, Consumer, Lose, Receive
from greenmicro.brokers.memory.queues import Item, MemoryQueue
from greenmicro.brokers.memory.vhost import Vhost, enter, leave
from greenmicro.brokers.memory.wire import copied_headers
from greenmicro.copies import names_of, retry_of
from greenmicro.dead_letters import dead_letter
from greenmicro.errors import BrokerError, PublishError, StoppingError
from greenmicro.messages import Message, Outcome, Publication, Settlement
from greenmicro.settings import Settings

logger = logging.getLogger(__name__)

SCHEME = 'memory://'
#: How long to wait, in seconds, before a message that its next queue refused is tried again.
MOVE_RETRY_S = 1.0
#: How often to look, in seconds, whether a queue that another broker alone may have is free.
SOLE_RETRY_S = 0.2


class MemoryBroker(Broker):
    """Exchanges and queues inside the process, with RabbitMQ's rules.

    `memory://` is this broker's alone; `memory://name` is shared by all brokers of the process that name
    it, and what it holds is dropped when the last of them closes. Queue arguments it heeds:
    `x-message-ttl`, `x-max-length`, `x-overflow`, `x-dead-letter-exchange`, `x-dead-letter-routing-key`;
    others are kept and have no effect.

    Args:
        settings: The service's settings.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._exchanges: list[Exchange] = []
        self._consumers: list[MemoryConsumer] = []
        self._vhost: Vhost | None = None
        self._told = Event()  # ready, or never going to be
        self._ready = False
        self._closed = False

    def declare(self, exchange: Exchange) -> None:
        """Have an exchange declared at start; see the contract."""
        self._exchanges.append(exchange)

    def subscribe(self, subscription: Subscription, receive: Receive, lose: Lose) -> MemoryConsumer:
        """Add a queue to consume from; see the contract."""
        consumer = MemoryConsumer(subscription, receive)
        self._consumers.append(consumer)
        return consumer

    def start(self, on_fatal: Callable[[Exception], None]) -> None:
        """Declare and consume; see the contract."""
        self._vhost = enter(self._settings.amqp_uri.removeprefix(SCHEME).rstrip('/'))
        try:
            for exchange in self._exchanges:
                if exchange.declared:
                    self._vhost.declare_exchange(exchange)
            for consumer in self._consumers:
                if consumer.sole:
                    consumer.start_when_free(self._vhost, self)
                else:
                    consumer.start(self._vhost, self)
            self._ready = True
        except BrokerError as error:
            gevent.spawn(on_fatal, error)
        self._told.set()

    def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Wait until it is started; see the contract."""
        self._told.wait(timeout_s)
        return self._ready

    def hindrances(self) -> Iterator[str]:
        """Say what keeps us from being ready: that it is not started, or closed; see the contract."""
        if not self._ready:
            yield 'the broker is closed' if self._closed else 'the broker is not started'

    def publish(self, publication: Publication) -> None:
        """Put a message into its queues, then let other greenlets run; see the contract."""
        if self._closed:
            raise StoppingError('the service has stopped; the message was not sent')
        if self._vhost is None:
            raise PublishError('the broker is not started; the message was not sent')
        self._vhost.publish(publication)
        # A publish is a point where others run, as on a real broker: a target that publishes in a loop
        # must not hold the hub, nor fill the queues faster than anyone can read them.
        self._vhost.dispatcher.give_way()

    def stop(self, timeout_s: float) -> None:
        """Deliver no more; see the contract."""
        for consumer in self._consumers:
            if not consumer.lasting:
                consumer.stop()

    def close(self, timeout_s: float) -> None:
        """Give back what is unsettled, and leave; see the contract."""
        if self._closed:
            return
        self._closed = True
        self._ready = False
        self._told.set()
        for consumer in self._consumers:
            consumer.close()
        if self._vhost is not None:
            leave(self._vhost, self)


class MemoryConsumer(Consumer):
    """Consumes from one queue.

    Args:
        subscription: The queue and what feeds it.
        receive: Called for each message, on the dispatcher's greenlet.
    """

    def __init__(self, subscription: Subscription, receive: Receive) -> None:
        self._subscription = subscription
        self._receive = receive
        # In AMQP a prefetch of 0 stands for no limit.
        self._limit = subscription.prefetch or sys.maxsize
        # What it holds, and the settlement that could not be carried out yet; None before there is any.
        self._held: dict[Item, Settlement | None] = {}
        self._vhost: Vhost
        self._queue: MemoryQueue
        self._running = False
        self.in_turn = False
        self._stopped = False
        self.lasting = subscription.lasting
        self.sole = subscription.sole

    def start(self, vhost: Vhost, owner: MemoryBroker) -> None:
        """Declare the queue, bind it, and consume.

        Raises:
            BrokerError: Queue or exchange are there with other properties.
        """
        subscription = self._subscription.present()
        queue = vhost.declare_queue(subscription.queue, owner)
        if subscription.exchange is not None:
            vhost.declare_exchange(subscription.exchange).bind(queue, subscription.routing_key)
        self._vhost = vhost
        self._queue = queue
        self._running = True
        queue.add_consumer(self)

    def start_when_free(self, vhost: Vhost, owner: MemoryBroker) -> None:
        """Consume, now or when no other broker has the queue any more."""
        queue = vhost.queues.get(self._subscription.queue.name)
        if self._stopped:
            return
        if queue is None:
            self.start(vhost, owner)
        else:
            gevent.spawn_later(SOLE_RETRY_S, self.start_when_free, vhost, owner)

    @property
    def active(self) -> bool:
        """Whether it consumes."""
        return self._running

    def stop(self) -> None:
        """Consume no more; what was given back so far goes to others."""
        self._stopped = True
        if not self._running:
            return
        self._running = False
        queue = self._queue
        queue.remove_consumer(self)
        if queue.declaration.auto_delete and not queue.consumers:
            self._vhost.delete_queue(queue)
        self._restore([item for item, settled in self._held.items() if settled is Settlement.GIVE_BACK])

    def close(self) -> None:
        """Give everything back that is not settled."""
        self.stop()
        self._restore(list(self._held))

    # What the queue asks and tells.

    def room(self) -> int:
        """Return how many more messages it takes."""
        return self._limit - len(self._held)

    def take(self, item: Item) -> None:
        """Count a message as delivered."""
        self._held[item] = None

    def hand_over(self, item: Item) -> None:
        """Give a message to who consumes."""
        message = Message(
            item.body,
            dict(item.properties),
            copied_headers(item.headers),
            item.exchange,
            item.routing_key,
            self._subscription.queue.name,
            item.redelivered,
            None,
            item,
        )
        if message.headers:
            exchange, routing_key = names_of(message)
            message = message._replace(exchange=exchange, routing_key=routing_key)
        self._receive(message)

    # What workers ask and tell.

    def begin(self, message: Message) -> bool:
        """Say whether a message is still ours; not after a close, which gave it back."""
        return message.delivery in self._held

    def holds(self, message: Message) -> bool:
        """Say the same; nothing changes by asking."""
        return message.delivery in self._held

    def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
        """Carry a settlement out; see the contract. A second one, or one after a close, does nothing."""
        item = message.delivery
        if self._held.get(item, settlement) is not None:
            return
        if settlement is Settlement.ACK:
            self._forget(item)
        elif settlement is Settlement.GIVE_BACK:
            self._give_back(item)
        elif settlement is Settlement.DEAD_LETTER:
            assert outcome.failure is not None
            self._move(item, dead_letter(message, outcome.failure), settlement)
        elif settlement is Settlement.RETRY:
            assert outcome.failure is not None
            self._move(item, retry_of(message, outcome.failure), settlement)

    def answer(self, message: Message, reply: Publication, otherwise: Publication) -> None:
        """Publish a reply, then ack; see the contract. No reply is too large here."""
        item = message.delivery
        if self._held.get(item, Settlement.ACK) is None:
            self._move(item, reply, Settlement.ACK)

    def _forget(self, item: Item) -> None:
        del self._held[item]
        if self._running and not self.in_turn:
            self._queue.line_up(self)

    def _give_back(self, item: Item) -> None:
        self._held[item] = Settlement.GIVE_BACK
        if not self._running:
            self._restore([item])

    def _move(self, item: Item, publication: Publication, settlement: Settlement) -> None:
        """Publish a message anew, then ack; one whose next queue is full stays, and is tried again."""
        if item not in self._held:
            return
        queue = publication.routing_key
        try:
            if settlement is Settlement.DEAD_LETTER and queue not in self._vhost.queues:
                self._vhost.declare_queue(dead_queue_of(self._subscription.queue), None)
            self._vhost.publish(publication)
        except PublishError as error:
            if self._held[item] is None:  # told once, not at each try
                logger.error('queue %s: %s; the message stays', queue, error)
            self._held[item] = settlement
            gevent.spawn_later(MOVE_RETRY_S, self._move, item, publication, settlement)
        else:
            self._forget(item)

    def _restore(self, items: list[Item]) -> None:
        for item in items:
            del self._held[item]
            self._queue.restore(item)
