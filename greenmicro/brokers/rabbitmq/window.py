"""Window: how many publishes may be in flight at once, and who may go next."""

from __future__ import annotations

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

    Attributes:
        flights: What is in flight on the present channel.
        suspects: How many of those that want to fly are suspected of making the broker close the channel;
            while there are any, each publish flies alone.
    """

    def __init__(self) -> None:
        self.flights = Flights()
        self.suspects = 0
        self._line: dict[Event, None] = {}

    @property
    def open(self) -> bool:
        """Whether there is room for one more."""
        most = 1 if self.suspects else WINDOW
        return len(self.flights) < most and self.flights.bytes < WINDOW_BYTES

    def wait(self, timeout_s: float) -> bool:
        """Wait in line, behind those who came before; return whether the own turn came in time."""
        turn = Event()
        self._line[turn] = None
        try:
            return turn.wait(timeout_s)
        finally:
            self._line.pop(turn, None)

    def let_in(self) -> None:
        """Wake the next one in line if there is room."""
        if self._line and self.open:
            turn = next(iter(self._line))
            del self._line[turn]
            turn.set()

    def let_all_in(self) -> None:
        """Wake everybody: there is nothing more to wait for."""
        line, self._line = self._line, {}
        for turn in line:
            turn.set()
