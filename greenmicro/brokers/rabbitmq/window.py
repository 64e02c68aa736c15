"""Window: how many publishes may be in flight at once, and who may go next."""

from __future__ import annotations

from collections import Counter

from gevent.event import Event

from greenmicro.brokers.rabbitmq.confirms import Flights

#: How many publishes may wait for their confirm at once; more wait for room.
WINDOW = 10_000
#: ... and how many bytes of bodies: each is there twice until it is written.
WINDOW_BYTES = 16 * 1024 * 1024


class Window:
    """Lets publishes into the air while there is room, and makes the others wait in line.

    They are woken one at a time: were all of 10,000 woken at each confirm, a second would become minutes.
    So whoever was woken calls `let_in` in turn, whether it flies or not.

    Some are suspected of making the broker close the channel, and fly in a group, or alone. While there are
    any, nobody flies in a larger one; and those of the smallest go first, since all others wait for them.

    Attributes:
        flights: What is in flight on the present channel.
    """

    def __init__(self) -> None:
        self.flights = Flights()
        self._groups: Counter[int] = Counter()  # the sizes of groups: how many suspects fly in such a one
        # By the size of the group, 0 for those that are in none.
        self._lines: dict[int, dict[Event, None]] = {}

    @property
    def most(self) -> int:
        """How many may be in flight now."""
        return min(self._groups, default=WINDOW)

    @property
    def open(self) -> bool:
        """Whether there is room for one more."""
        return len(self.flights) < self.most and self.flights.bytes < WINDOW_BYTES

    def suspect(self, group: int, instead_of: int) -> None:
        """Count one that wants to fly in another group than before; 0 is none."""
        if group:
            self._groups[group] += 1
        if instead_of:
            self._groups[instead_of] -= 1
            self._groups += Counter()  # those of 0 are dropped

    def wait(self, timeout_s: float, group: int) -> bool:
        """Wait in line, behind those of the same group; return whether the own turn came in time."""
        turn = Event()
        line = self._lines.setdefault(group, {})
        line[turn] = None
        try:
            return turn.wait(timeout_s)
        finally:
            line.pop(turn, None)

    def let_in(self) -> None:
        """Wake the next one in line if there is room."""
        lines = [group for group, line in self._lines.items() if line]
        if lines and self.open:
            line = self._lines[min(lines, key=lambda group: group or WINDOW)]
            turn = next(iter(line))
            del line[turn]
            turn.set()

    def let_all_in(self) -> None:
        """Wake everybody: there is nothing more to wait for."""
        for line in self._lines.values():
            for turn in line:
                turn.set()
            line.clear()
