"""What was let go of here, unrun or unseen: its next delivery is no sign that a process died of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

#: For so long after a channel was lost, in seconds, what it may have carried unseen is expected again also
#: after new messages: the broker gives up on a dead connection within three heartbeat intervals.
UNSEEN_S = 60.0


class Dropped:
    """What was let go of here unrun, and is to be run when it comes again: that tells of no crash.

    Args:
        limit: How many are remembered at most; the oldest go first.
        clock: Monotonic seconds.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._counts: dict[Hashable, int] = {}
        self._unseen = 0
        self._unseen_until = 0.0
        self._all_expected = False

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, key: Hashable) -> None:
        """Remember a message by its `key_of`; each of several alike counts."""
        self._counts[key] = self._counts.pop(key, 0) + 1
        if len(self._counts) > self._limit:
            del self._counts[next(iter(self._counts))]

    def take(self, key: Hashable) -> bool:
        """Say whether a message that was delivered before may be one of them, and use it up."""
        count = self._counts.pop(key, 0)
        if count > 1:
            self._counts[key] = count - 1
        return count > 0

    def expect_unseen(self, most: int) -> None:
        """Expect so many that a channel had under way when it was lost, and any number before a new one.

        A broker that was killed flags all that it finds in a classic queue [3.10], delivered or not.
        """
        left = self._unseen if self._clock() < self._unseen_until else 0
        self._unseen = min(left + most, self._limit)
        self._unseen_until = self._clock() + UNSEEN_S
        self._all_expected = True

    def note_new(self) -> None:
        """Take note of a message that was not delivered before."""
        self._all_expected = False

    def take_unseen(self) -> bool:
        """Say whether a message that was delivered before may be one of those, and use it up."""
        if self._unseen and self._clock() < self._unseen_until:
            self._unseen -= 1
            return True
        return self._all_expected
