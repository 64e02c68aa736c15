"""What a lost channel leaves in doubt, so that no message is run twice in this process.

When a channel is lost the broker delivers again what it has no settlement for. Some of that is still
running here, and some is finished, its ack lost on the way.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from greenmicro.messages import Message

#: How long a delivery is remembered, in seconds. The broker gives up on a dead connection after two
#: heartbeat intervals; this allows for a long pause on top (a partition, a stopped node).
AGE_S = 600.0
#: What a quorum queue adds to the headers of what it delivers again.
VOLATILE_HEADERS = frozenset({'x-delivery-count', 'x-acquired-count'})


class Doubt:
    """One delivery of a lost channel.

    Attributes:
        key: What its next delivery is known by.
        message: The message, while it is running here; None once it is finished.
        since: When its channel was lost, by the monotonic clock.
        used: Whether it was taken, or forgotten.
    """

    __slots__ = ('key', 'message', 'since', 'used')

    def __init__(self, key: Hashable, message: Message | None, since: float) -> None:
        self.key = key
        self.message = message
        self.since = since
        self.used = False


class Doubts:
    """The deliveries of one queue that were in doubt when their channel was lost.

    Never by id alone: a requeued dead letter, a retry, and a publisher that reuses an id are new
    messages. So only a delivery that the broker flags as redelivered uses an entry up, and one that is
    not flagged, but has the same key, ends the finished entries of that key: after that nobody could
    tell the two apart, and to run twice is better than to ack unrun.

    Args:
        limit: How many are remembered at most; the oldest go first.
        clock: Monotonic seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._by_key: dict[Hashable, list[Doubt]] = {}
        self._order: deque[Doubt] = deque()

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def add_running(self, message: Message) -> Doubt:
        """Remember a message that is still running here."""
        return self._add(key_of(message), message)

    def add_finished(self, key: Hashable) -> None:
        """Remember a message whose settlement may not have arrived."""
        self._add(key, None)

    def take(self, message: Message) -> Doubt | None:
        """Use up the entry that a redelivered message belongs to; running ones come first.

        Of several alike it does not matter which is which, as long as each delivery is settled by one
        outcome; a running one may be the only one that the broker still has.
        """
        self._expire()
        doubts = self._by_key.get(key_of(message), [])
        doubt = next((doubt for doubt in doubts if doubt.message is not None), None)
        if doubt is None and doubts:
            doubt = doubts[0]
        if doubt is not None:
            self.forget(doubt)
        return doubt

    def note_fresh(self, message: Message) -> None:
        """Take note of a delivery that is not flagged as redelivered: a new message."""
        for doubt in list(self._by_key.get(key_of(message), ())):
            if doubt.message is None:
                self.forget(doubt)

    def forget(self, doubt: Doubt) -> None:
        """Let an entry go: its message was settled, or will be run again."""
        if doubt.used:
            return
        doubt.used = True
        doubts = self._by_key[doubt.key]
        doubts.remove(doubt)
        if not doubts:
            del self._by_key[doubt.key]

    def _add(self, key: Hashable, message: Message | None) -> Doubt:
        doubt = Doubt(key, message, self._clock())
        self._by_key.setdefault(key, []).append(doubt)
        self._order.append(doubt)
        self._expire()
        return doubt

    def _expire(self) -> None:
        oldest = self._clock() - AGE_S
        while self._order and (
            self._order[0].used or self._order[0].since < oldest or len(self._order) > self._limit
        ):
            self.forget(self._order.popleft())


def key_of(message: Message) -> Hashable:
    """Return what a redelivery of a message is known by: its id, or a digest where it has none."""
    if message.message_id is not None:
        return id_key(message.properties, message.headers, len(message.body))
    headers = {key: value for key, value in message.headers.items() if key not in VOLATILE_HEADERS}
    envelope = (message.exchange, message.routing_key, sorted(message.properties.items()), headers)
    return hashlib.blake2b(message.body + repr(envelope).encode('utf-8', 'replace')).digest()


def id_key(properties: Mapping[str, Any], headers: Mapping[str, Any], size: int) -> Hashable:
    """Return the key of a message with an id: the id, its attempt, and the size of its body."""
    return properties['message_id'], Message(b'', properties, headers).attempt, size
