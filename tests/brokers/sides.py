"""One service's side of a broker, in tests: subscribe, start, receive into inboxes, settle, close."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gevent.queue import Empty
from gevent.queue import Queue as Line

from greenmicro.amqp.topology import Exchange, Queue, Subscription
from greenmicro.brokers import broker_class
from greenmicro.brokers.base import Receive
from greenmicro.messages import NOT_RUN, SUCCEEDED, Failure, Message, Outcome, Publication, Settlement
from greenmicro.settings import Settings
from tests.support.patience import PATIENCE_S

DEADLINE_S = PATIENCE_S
EVENTS = Exchange('shop.events')
PROPERTIES = {
    'content_type': 'application/json',
    'content_encoding': 'utf-8',
    'delivery_mode': 2,
    'priority': 0,
    'message_id': '6f1d2a52-1c1e-4f57-9d5c-0a4b3f1f7a10',
    'timestamp': 1_700_000_000,
}
FAILURE = Failure(
    'target error', 'builtins.ValueError: no such order', ('builtins.ValueError',), 'Traceback ...'
)


def event(
    body: bytes = b'{}',
    routing_key: str = 'order',
    *,
    exchange: str = EVENTS.name,
    headers: Mapping[str, Any] | None = None,
    mandatory: bool = True,
    **properties: Any,
) -> Publication:
    """A publication as a service makes it; mandatory, so that a message that goes nowhere is noticed."""
    return Publication(exchange, routing_key, body, {**PROPERTIES, **properties}, headers or {}, mandatory)


def to_queue(queue: str, body: bytes = b'{}', **options: Any) -> Publication:
    """A publication through the default exchange."""
    return event(body, queue, exchange='', **options)


def expiring(name: str, ttl_ms: int, routing_key: str | None = None) -> Queue:
    """A queue that sends on what has waited so long, by its own routing key or by another."""
    arguments: dict[str, Any] = {'x-message-ttl': ttl_ms, 'x-dead-letter-exchange': ''}
    if routing_key is not None:
        arguments['x-dead-letter-routing-key'] = routing_key
    return Queue(name, arguments=arguments)


class Inbox:
    """Takes the messages of one subscription, and settles them as a worker would."""

    def __init__(self, side: Side, subscription: Subscription, receive: Receive | None = None) -> None:
        self.side = side
        self.line: Line[Message] = Line()
        self.consumer = side.broker.subscribe(subscription, receive or self.line.put_nowait, self.lose)

    def lose(self, message: Message, failure: Failure) -> None:
        """Dead-letter what is to be run no more."""
        self.consumer.settle(message, Settlement.DEAD_LETTER, Outcome.failed(failure))

    def receive(self) -> Message:
        """Wait for one message; it is pending, as no worker has begun it."""
        try:
            return self.line.get(timeout=DEADLINE_S)
        except Empty:
            raise TimeoutError(f'no message within {DEADLINE_S} s') from None

    def next(self) -> Message:
        """Wait for one message, and begin it."""
        message = self.receive()
        assert self.consumer.begin(message)
        return message

    def take(self, count: int) -> list[Message]:
        """Wait for so many messages."""
        return [self.next() for _ in range(count)]

    def take_acked(self, count: int) -> list[bytes]:
        """Wait for so many messages, ack each at once, and return their bodies."""
        bodies = []
        for _ in range(count):
            message = self.next()
            self.ack(message)
            bodies.append(message.body)
        return bodies

    def ack(self, *messages: Message) -> None:
        for message in messages:
            self.consumer.settle(message, Settlement.ACK, SUCCEEDED)

    def give_back(self, *messages: Message) -> None:
        for message in messages:
            self.consumer.settle(message, Settlement.GIVE_BACK, NOT_RUN)

    def dead_letter(self, message: Message, failure: Failure = FAILURE) -> None:
        self.consumer.settle(message, Settlement.DEAD_LETTER, Outcome.failed(failure))

    def retry(self, message: Message, delay_s: float, failure: Failure = FAILURE) -> None:
        later = Outcome.failed(failure._replace(delay_s=delay_s))
        self.consumer.settle(message, Settlement.RETRY, later)

    def __len__(self) -> int:
        return len(self.line)


class Side:
    """A broker with its subscriptions; several on one URI are several services, or replicas."""

    def __init__(self, uri: str, **config: Any) -> None:
        settings = Settings.load({'AMQP_URI': uri, 'SERVICE_NAME': 'shop', **config}, {})
        self.broker = broker_class(uri)(settings)
        self.fatal: Line[Exception] = Line()
        self._started = False
        self._closed = False

    def subscribe(
        self,
        queue: str | Queue,
        exchange: Exchange | None = EVENTS,
        routing_key: str = 'order',
        prefetch: int = 10,
        receive: Receive | None = None,
        lasting: bool = False,
    ) -> Inbox:
        declared = Queue(queue) if isinstance(queue, str) else queue
        return Inbox(self, Subscription(declared, exchange, routing_key, prefetch, lasting), receive)

    def start(self) -> Side:
        self._started = True
        self.broker.start(self.fatal.put_nowait)
        return self

    def start_ready(self) -> Side:
        self.start()
        assert self.broker.wait_ready(DEADLINE_S)
        return self

    def stop(self) -> None:
        self.broker.stop(DEADLINE_S)

    def close(self) -> None:
        if self._started and not self._closed:
            self._closed = True
            self.broker.close(DEADLINE_S)


def bodies(inbox: Inbox, count: int) -> list[bytes]:
    """The bodies of the next messages, which stay unsettled."""
    return [message.body for message in inbox.take(count)]


#: Starts a service of its own that consumes from one queue; the arguments are those of `Side.subscribe`.
Listen = Callable[..., Inbox]
#: Makes a side that is closed at the end of the test.
NewSide = Callable[..., Side]
