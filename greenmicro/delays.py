"""The ladder of delays: how long a broker can hold a message back before it is delivered."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

#: In seconds. Each step that is used is an exchange and a queue on the broker, shared by all services,
#: so there are few; a delay is rounded up to the next one.
STEPS_S = (
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0),
    *(3_600.0, 7_200.0, 14_400.0, 28_800.0, 43_200.0, 86_400.0),
)
LONGEST_S = STEPS_S[-1]


def step_ms(delay_s: float) -> int:
    """Return the shortest step that is no shorter than a delay, in milliseconds.

    Args:
        delay_s: From 0 to LONGEST_S seconds.
    """
    return round(STEPS_S[bisect_left(STEPS_S, delay_s)] * 1000)


def delay_fault(name: str, value: Any) -> str | None:
    """Return a sentence if a value is no delay that a broker can hold a message for; else None.

    Args:
        name: What the value is called.
        value: What should be a number of seconds.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and 0 <= value <= LONGEST_S:
        return None
    return f'{name}: wanted 0 to {LONGEST_S:.0f} seconds, found {value!r}'
