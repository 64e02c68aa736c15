"""The demo's entrypoints: they do what those of greenmicro do, and count."""

from greenmicro.amqp.entrypoints import EventListener
from greenmicro.entrypoints import TimeEntrypoint


class Counted:
    """Counts what becomes of an entrypoint's messages.

    `settle` is called once for each message, in the service's own process, wherever the worker ran.
    """

    handled = 0
    failed = 0

    def on_settled(self):
        """Called after each message."""

    def settle(self, message, settlement, outcome):
        super().settle(message, settlement, outcome)
        if outcome.failure is not None:
            self.failed += 1
        elif outcome.ran:  # else it goes back to its queue, since the service is stopping
            self.handled += 1
        self.on_settled()


class CountedTimer(Counted, TimeEntrypoint):
    """Ticks until so many ticks were handled."""

    def __init__(self, interval_s, route, times):
        super().__init__(interval_s, route)
        self.times = times

    def tick(self):
        if self.handled < self.times:
            super().tick()


class CountedListener(Counted, EventListener):
    """Listens to an event, and counts."""
