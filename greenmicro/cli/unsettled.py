"""Unsettled: what a walk holds of its queue, and with how few acks it lets go of it."""

from __future__ import annotations

from collections.abc import Iterator


class Unsettled:
    """The delivery tags that the broker waits to hear of.

    Few acks, for a reason beside their cost: a quorum queue's client in the broker takes 32 at once, stows
    further ones away, and forgets those when the channel is closed. Then letters that were requeued, and
    acked, were there again: 9 of 200.
    """

    def __init__(self) -> None:
        self._tags: dict[int, None] = {}  # in the order of their delivery
        self._done: set[int] = set()
        self._keeps_some = False

    def __len__(self) -> int:
        return len(self._tags)

    @property
    def first(self) -> int:
        """The tag that was delivered first."""
        return next(iter(self._tags))

    @property
    def unsent(self) -> int:
        """How many are done, and not acked yet."""
        return len(self._done)

    def add(self, tag: int) -> None:
        """Note a delivery."""
        self._tags[tag] = None

    def keep(self) -> None:
        """Note that one is to stay: then those after it need an ack each."""
        self._keeps_some = True

    def done(self, tag: int) -> None:
        """Note that the broker may forget a delivery."""
        self._done.add(tag)

    def drop(self, tag: int) -> None:
        """Forget a delivery that was settled."""
        del self._tags[tag]
        self._done.discard(tag)

    def acks(self) -> Iterator[tuple[int, bool]]:
        """Yield the acks to send now: a tag, and whether it stands for all before it too."""
        row = []
        for tag in self._tags:
            if tag not in self._done:
                break
            row.append(tag)
        if row:
            yield row[-1], True
        # Without one that stays, what holds up the row is only on its way.
        single = sorted(self._done.difference(row)) if self._keeps_some else []
        for tag in single:
            yield tag, False
        for tag in (*row, *single):
            self.drop(tag)
