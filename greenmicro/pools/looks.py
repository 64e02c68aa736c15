"""Looks: has a child looked at some time from now, by one timer however many jobs it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from gevent.hub import get_hub


class Looks:
    """At most one look is to come: the earliest that was asked for.

    Args:
        look: Does it; called in a greenlet of its own, which may ask for the next one.
    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._timer: Any = None
        self._within_s = 0.0

    def within(self, seconds: float) -> None:
        """Have it looked so many seconds from now, unless that is to be sooner."""
        if self._timer is not None and self._within_s <= seconds:
            return
        self.cancel()
        self._within_s = seconds
        self._timer = get_hub().loop.timer(seconds)
        # By the clock of now: the loop's own is as old as the hub was busy, and the timer early by that.
        self._timer.start(self._ring, update=True)

    def cancel(self) -> None:
        """Have nothing looked at."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _ring(self) -> None:
        self.cancel()
        gevent.spawn(self._look)
