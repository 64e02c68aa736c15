"""Delays between tries: short at first, never a hot loop, and no two processes in step."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

#: How often a refusal is tried again once the broker was reached before, in seconds.
REFUSED_RETRY_S = 5.0
FIRST_DELAY_S = 0.05


def backoff(longest_s: float) -> Iterator[float]:
    """Yield delays in seconds: doubled each time up to the longest, each with full jitter."""
    for power in itertools.count():
        yield random.uniform(0, min(longest_s, FIRST_DELAY_S * 2 ** min(power, 16)))  # noqa: S311  # no secret
