"""Ticks at the multiples of an interval, by the monotonic clock, without drift."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent


def tick_for_ever(interval_s: float, tick: Callable[[], None], eager: bool) -> None:
    """Call a function at each multiple of an interval from now on; multiples that were missed are one tick.

    Args:
        interval_s: Seconds between two ticks.
        tick: What to call; it must not block.
        eager: Whether to begin at once instead of after one interval.

    Runs in: a greenlet of its own, which it never leaves.
    """
    start = time.monotonic()
    count = 0
    if eager:
        tick()
    while True:
        # From the start each time, not from the last tick: what a tick is late does not add up.
        count = max(count + 1, int((time.monotonic() - start) / interval_s))
        gevent.sleep(max(0.0, start + count * interval_s - time.monotonic()))
        tick()
