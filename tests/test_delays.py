"""The ladder of delays: it only ever rounds up, and what is no delay is refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenmicro.delays import LONGEST_S, STEPS_S, delay_fault, step_ms

DELAYS = st.floats(0, LONGEST_S)


def test_the_ladder_is_short_and_goes_up() -> None:
    """From a tenth of a second to a day, in whole milliseconds, each step at most three times the last."""
    assert (STEPS_S[0], STEPS_S[-1]) == (0.1, 86_400)
    assert len(STEPS_S) < 25
    assert all(low < high <= 3 * low for low, high in itertools.pairwise(STEPS_S))
    assert [step_ms(step_s) for step_s in STEPS_S] == [round(1000 * step_s) for step_s in STEPS_S]


@given(DELAYS)
def test_a_delay_is_never_cut_short(delay_s: float) -> None:
    """It is rounded up, to the nearest step that there is."""
    ms = step_ms(delay_s)
    assert ms / 1000 >= delay_s
    assert not any(delay_s <= step_s < ms / 1000 for step_s in STEPS_S)


@given(DELAYS, DELAYS)
def test_a_longer_delay_takes_no_shorter_step(one_s: float, other_s: float) -> None:
    """The steps keep the delays' order."""
    assert step_ms(min(one_s, other_s)) <= step_ms(max(one_s, other_s))


@pytest.mark.parametrize('value', [0, 0.0, 1e-9, 1, 86_400, LONGEST_S])
def test_a_delay_is_a_number_of_seconds_up_to_a_day(value: float) -> None:
    """Whole or not."""
    assert delay_fault('delay_s', value) is None


@pytest.mark.parametrize(
    'value', [-1, -0.1, 86_400.1, 10**400, float('nan'), float('inf'), True, None, '5', 1j, [1]], ids=repr
)
def test_anything_else_is_refused(value: Any) -> None:
    """It says what was wanted and what was found."""
    assert delay_fault('delay_s', value) == f'delay_s: wanted 0 to 86400 seconds, found {value!r}'
