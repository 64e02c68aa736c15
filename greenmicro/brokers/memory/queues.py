"""MemoryQueue: what waits for a consumer, in order, for as long and as many as its arguments allow."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from typing import Any, Protocol

from gevent.hub import get_hub

from greenmicro.amqp.topology import Queue
from greenmicro.errors import BrokerError

OVERFLOWS = ('drop-head', 'reject-publish', 'reject-publish-dlx')


class Item:
    """One message in one queue.

    Attributes:
        body, properties, headers, exchange, routing_key: As published, copied.
        number: Its place in the queue, which it keeps when it is given back.
        redelivered: Whether it was delivered before.
        expires_at: When it has waited too long, by the queue's clock; None for never.
    """

    __slots__ = (
        'body',
        'exchange',
        'expires_at',
        'headers',
        'number',
        'properties',
        'redelivered',
        'routing_key',
    )

    def __init__(
        self,
        body: bytes,
        properties: Mapping[str, Any],
        headers: Mapping[str, Any],
        exchange: str,
        routing_key: str,
    ) -> None:
        self.body = body
        self.properties = properties
        self.headers = headers
        self.exchange = exchange
        self.routing_key = routing_key
        self.number = 0
        self.redelivered = False
        self.expires_at: float | None = None


class Taker(Protocol):
    """A consumer, as its queue sees it.

    Attributes:
        in_turn: Kept by the queue: whether the consumer stands in line for the next message.
    """

    in_turn: bool

    def room(self) -> int:
        """Return how many more messages it takes."""

    def take(self, item: Item) -> None:
        """Count a message as delivered; calls nobody."""

    def hand_over(self, item: Item) -> None:
        """Give a taken message to who consumes."""


class MemoryQueue:
    """One queue: holds messages in order and gives them to its consumers in turn.

    It delivers only in `deliver_next`, which who owns it calls after it was told by `wake`.

    Args:
        declaration: Its name and arguments.
        owner: Whom it is exclusive to.
        wake: Called with the queue when it has something to deliver.
        bury: Called with the queue, a message that it dropped, and why (`expired`, `maxlen`).
        clock: Monotonic seconds.

    Raises:
        BrokerError: An argument has a value that makes no sense.
    """

    def __init__(
        self,
        declaration: Queue,
        owner: object,
        wake: Callable[[MemoryQueue], None],
        bury: Callable[[MemoryQueue, Item, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.declaration = declaration
        self.name = declaration.name
        self.owner = owner
        self.consumers: list[Taker] = []
        self._wake = wake
        self._bury = bury
        self._clock = clock
        ttl_ms = _count(declaration, 'x-message-ttl')
        self._ttl_s = None if ttl_ms is None else ttl_ms / 1000
        self._max_length = _count(declaration, 'x-max-length')
        self._overflow = declaration.arguments.get('x-overflow', OVERFLOWS[0])
        if self._overflow not in OVERFLOWS:
            raise BrokerError(f'queue {self.name!r}: x-overflow: {self._overflow!r} is none of {OVERFLOWS}')
        self._ready: list[tuple[int, Item]] = []
        self._number = 0
        self._in_turn: deque[Taker] = deque()
        self._awake = False
        self._timer: Any = None
        self._timer_at: float | None = None
        self._deleted = False

    def __repr__(self) -> str:
        return f'<MemoryQueue {self.name!r}, {len(self._ready)} ready, {len(self.consumers)} consumers>'

    def put(self, item: Item, ttl_s: float | None) -> bool:
        """Add a message at the end; return False if the queue is full and refuses it.

        Args:
            item: A message that is in no queue yet.
            ttl_s: How long it may wait, in seconds; the queue's own limit may be shorter.
        """
        if self._max_length is not None and self._overflow != 'drop-head' and self._excess() >= 0:
            if self._overflow == 'reject-publish-dlx':
                self._bury(self, item, 'maxlen')
            return False
        if self._ttl_s is not None and (ttl_s is None or self._ttl_s < ttl_s):
            ttl_s = self._ttl_s
        # A time-to-live of 0 means: now or never. With a consumer free it is now.
        if ttl_s is not None and (ttl_s > 0 or self._spare_room() <= 0):
            item.expires_at = self._clock() + ttl_s
        self._number += 1
        item.number = self._number
        self._push(item)
        while self._max_length is not None and self._ready and self._excess() > 0:
            self._bury(self, self._pop(), 'maxlen')
        return True

    def restore(self, item: Item) -> None:
        """Take a delivered message back, to its old place."""
        if self._deleted:
            return
        item.redelivered = True
        self._push(item)

    def add_consumer(self, consumer: Taker) -> None:
        """Have a consumer take its turn."""
        self.consumers.append(consumer)
        self.line_up(consumer)

    def remove_consumer(self, consumer: Taker) -> None:
        """Deliver to a consumer no more."""
        self.consumers.remove(consumer)
        if consumer.in_turn:
            consumer.in_turn = False
            self._in_turn.remove(consumer)

    def line_up(self, consumer: Taker) -> None:
        """Let a consumer that has room again take its turn."""
        consumer.in_turn = True
        self._in_turn.append(consumer)
        self._wake_if_due()

    def deliver_next(self) -> None:
        """Deliver one message to one consumer, if there are both."""
        self._awake = False
        ready = self._ready
        if ready and ready[0][1].expires_at is not None:
            self._expire()
        if not ready or not self._in_turn:
            return
        item = self._pop()
        consumer = self._in_turn.popleft()
        consumer.take(item)
        if consumer.room() > 0:
            self._in_turn.append(consumer)
        else:
            consumer.in_turn = False
        self._wake_if_due()
        # Last, so that nothing is half done whatever happens in there.
        consumer.hand_over(item)

    def delete(self) -> None:
        """Drop everything; what is still unsettled does not come back."""
        self._deleted = True
        self._ready.clear()
        self._stop_timer()

    def _push(self, item: Item) -> None:
        heappush(self._ready, (item.number, item))
        self._watch_head()
        self._wake_if_due()

    def _pop(self) -> Item:
        item = heappop(self._ready)[1]
        self._watch_head()
        return item

    def _watch_head(self) -> None:
        ready = self._ready
        if self._timer is not None or (ready and ready[0][1].expires_at is not None):
            self._set_timer()

    def _wake_if_due(self) -> None:
        if not self._awake and self._ready and self._in_turn:
            self._awake = True
            self._wake(self)

    def _spare_room(self) -> int:
        return sum(consumer.room() for consumer in self._in_turn) - len(self._ready)

    def _excess(self) -> int:
        # What a consumer has room for is as good as delivered: it only waits for the dispatcher's turn.
        assert self._max_length is not None
        return -self._spare_room() - self._max_length

    def _expire(self) -> None:
        """Drop what has waited too long; only ever from the head, as RabbitMQ does."""
        now = self._clock()
        ready = self._ready
        while ready:
            expires_at = ready[0][1].expires_at
            if expires_at is None or expires_at > now:
                break
            self._bury(self, self._pop(), 'expired')
        self._set_timer()

    def _set_timer(self) -> None:
        expires_at = self._ready[0][1].expires_at if self._ready else None
        if expires_at == self._timer_at:
            return
        self._stop_timer()
        if expires_at is not None:
            self._timer_at = expires_at
            self._timer = get_hub().loop.timer(max(0.0, expires_at - self._clock()))
            self._timer.start(self._on_timer, update=True)

    def _stop_timer(self) -> None:
        timer, self._timer, self._timer_at = self._timer, None, None
        if timer is not None:
            timer.stop()
            timer.close()

    def _on_timer(self) -> None:
        self._stop_timer()
        self._expire()


def _count(declaration: Queue, argument: str) -> int | None:
    value = declaration.arguments.get(argument)
    if value is None or (isinstance(value, int) and value >= 0):
        return value
    raise BrokerError(f'queue {declaration.name!r}: {argument}: wanted a count of 0 or more, found {value!r}')
