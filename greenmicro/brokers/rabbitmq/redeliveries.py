"""What a lost channel leaves in doubt, so that no message is run twice in this process.

When a channel is lost the broker delivers again what it has no settlement for. Some of that is still
running here, and some is finished, its ack lost on the way.
"""

from __future__ import annotations

import hashlib
import marshal
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from greenmicro.messages import Message

#: How long a finished delivery is remembered, in seconds. The broker gives up on a dead connection after
#: two heartbeat intervals; this allows for a long pause on top (a partition, a stopped node).
AGE_S = 600.0
#: What a quorum queue adds to the headers of what it delivers again.
VOLATILE_HEADERS = frozenset({'x-delivery-count', 'x-acquired-count'})

NO_HEADERS: frozenset[tuple[str, Hashable]] = frozenset()
#: From 3 on, what is written depends on who else holds the value.
MARSHAL_VERSION = 2


class Doubt:
    """One delivery of a lost channel.

    Attributes:
        key: What its next delivery is known by.
        message: The message, while it is running here; None once it is finished.
        owed: Whether the broker certainly has no settlement of it, and so delivers it again.
        since: When it was finished, or its channel lost, by the monotonic clock.
    """

    __slots__ = ('key', 'message', 'owed', 'since')

    def __init__(self, key: Hashable, message: Message | None, owed: bool, since: float) -> None:
        self.key = key
        self.message = message
        self.owed = owed
        self.since = since


class Doubts:
    """The deliveries of one queue that were in doubt when their channel was lost.

    Never by id alone: a requeued dead letter, a retry, and a publisher that reuses an id are new
    messages. So only a delivery that the broker flags as redelivered uses an entry up, by an entry of
    the same content, and each entry serves one delivery: for each ack there was one run.

    That is certain for what is owed. Where an ack was written and may have arrived, the redelivered
    message may be another one of exactly the same content, so such entries end when that one is seen here
    as new (`note_new`), and do not serve while one is still to be run (`Dropped`): nobody could tell the
    two apart, and to run twice is better than to ack unrun. What is left is such a double that was never
    seen here before it came flagged; ARCHITECTURE.md says why that cannot be told.

    Args:
        limit: How many running and how many finished ones are remembered at most; the oldest go first.
        clock: Monotonic seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._by_key: dict[Hashable, list[Doubt]] = {}
        # By age, oldest first. What runs is kept for as long as it does.
        self._running: dict[Doubt, None] = {}
        self._finished: dict[Doubt, None] = {}

    def __len__(self) -> int:
        return len(self._running) + len(self._finished)

    def add(self, key: Hashable, message: Message | None, owed: bool) -> Doubt:
        """Remember a delivery.

        Args:
            key: Its `key_of`.
            message: The message, where it is still running here.
            owed: Whether the broker certainly has no settlement of it.
        """
        doubt = Doubt(key, message, owed, self._clock())
        self._by_key.setdefault(key, []).append(doubt)
        self._keep(doubt, self._finished if message is None else self._running)
        return doubt

    def add_written(self, keys: Iterable[Hashable]) -> None:
        """Remember those whose ack was written, and may be lost; many at once, while nothing else runs."""
        now = self._clock()
        for key in keys:
            doubt = Doubt(key, None, False, now)
            self._by_key.setdefault(key, []).append(doubt)
            self._finished[doubt] = None
        while len(self._finished) > self._limit:
            self.forget(next(iter(self._finished)))
        self._expire()

    def finish(self, doubt: Doubt) -> None:
        """Take note that a message has finished: its next delivery is acked."""
        if doubt in self._running:
            del self._running[doubt]
            doubt.message = None
            doubt.since = self._clock()
            self._keep(doubt, self._finished)

    def take(self, key: Hashable, certainly: bool = False) -> Doubt | None:
        """Use up the entry that a redelivered message belongs to; None when there is none.

        Of several alike it does not matter which is which, as long as each delivery is settled by one
        run. Those that run come first, then what is owed: the broker still has them for certain.

        Args:
            key: The message's `key_of`.
            certainly: Whether it may only be one of those that the broker certainly has no settlement of.
        """
        self._expire()
        alike = self._by_key.get(key)
        if not alike:
            return None
        doubt = min(alike, key=lambda doubt: (doubt.message is None, not doubt.owed))
        if certainly and not doubt.owed:
            return None
        self.forget(doubt)
        return doubt

    def note_new(self, message: Message) -> None:
        """Take note of a delivery that is not flagged as redelivered."""
        if message.message_id is not None:
            for doubt in list(self._by_key.get(key_of(message), ())):
                if not doubt.owed:
                    self.forget(doubt)

    def forget(self, doubt: Doubt) -> None:
        """Let an entry go: it was used, or its message will be run again."""
        kept_in = self._running if doubt in self._running else self._finished
        if kept_in.pop(doubt, doubt) is doubt:
            return  # it is gone already
        alike = self._by_key[doubt.key]
        alike.remove(doubt)
        if not alike:
            del self._by_key[doubt.key]

    def _keep(self, doubt: Doubt, where: dict[Doubt, None]) -> None:
        where[doubt] = None
        if len(where) > self._limit:
            self.forget(next(iter(where)))
        self._expire()

    def _expire(self) -> None:
        oldest = self._clock() - AGE_S
        while self._finished:
            doubt = next(iter(self._finished))
            if doubt.since >= oldest:
                return
            self.forget(doubt)


def key_of(message: Message) -> Hashable:
    """Return what a redelivery of a message is known by.

    That is all that its sender gave, its names and its body: the id, the attempt and the crashes are among
    it. A requeued dead letter, a retry, or another message of the same id differ in their headers, time or
    body.
    """
    body, properties, headers, exchange, routing_key, _, _, unreadable, _ = message
    # Properties need no sorting: they are decoded in the order of the specification.
    if properties.get('message_id') is None:
        envelope = (exchange, routing_key, tuple(properties.items()), _described(headers), unreadable)
        digest = hashlib.blake2b(repr(envelope).encode('utf-8', 'replace'))
        digest.update(body)
        return digest.digest()
    # The hash alone, since thousands are kept: 32 bytes each, and 64 bits are enough to tell them apart.
    # A set, as a quorum queue sorts headers as it adds its own: this is done for each message that is acked,
    # and takes 1.9 us with nameko's headers, where sorting and describing them takes 3.
    described = NO_HEADERS
    if headers:
        described = frozenset(
            [
                (name, value if type(value) is str else _flat(value))
                for name, value in headers.items()
                if name not in VOLATILE_HEADERS
            ]
        )
    names, values = tuple(properties), tuple(properties.values())
    return hash((exchange, routing_key, names, values, described, unreadable, body))


def _flat(value: Any) -> tuple[str, str | bytes]:
    """Return what no value of another type or content has; nothing ever reads it."""
    # In tuples, as a text and its bytes have the same hash.
    try:
        return 'written', marshal.dumps(value, MARSHAL_VERSION)
    except ValueError:  # a time, a decimal number; or tables in tables
        pass
    try:
        return 'described', repr(value)
    except RecursionError:
        return 'too deep', ''


def _described(headers: Mapping[str, Any]) -> str:
    kept = sorted(item for item in headers.items() if item[0] not in VOLATILE_HEADERS)
    try:
        return repr(kept)
    except RecursionError:  # tables in tables, as deep as they can be read
        return repr([name for name, _ in kept])
