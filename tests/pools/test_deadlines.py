"""Deadline: what counts, and what does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from greenmicro import progress as progresses
from greenmicro.pools import deadlines
from greenmicro.pools.deadlines import GRACE_S, Deadline
from greenmicro.progress import Progress

Clock = Callable[[float], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sets the clock of child and service, in seconds."""

    def to(now_s: float) -> None:
        monkeypatch.setattr(deadlines, 'monotonic', lambda: now_s)
        monkeypatch.setattr(progresses, 'monotonic_ns', lambda: int(now_s * 1e9))

    to(1_000)
    return to


@pytest.fixture
def progress() -> Progress:
    return Progress()


@pytest.fixture
def deadline(progress: Progress) -> Deadline:
    return Deadline(progress)


def test_a_call_has_its_limit_and_the_grace(progress: Progress, deadline: Deadline, set_clock: Clock) -> None:
    progress.begin_call()
    set_clock(1_004.9 + GRACE_S)
    assert not deadline.is_over(5)
    set_clock(1_005.1 + GRACE_S)
    assert deadline.is_over(5)


def test_where_no_call_is_nothing_counts(progress: Progress, deadline: Deadline, set_clock: Clock) -> None:
    progress.begin_call()
    progress.end_call()
    set_clock(2_000)
    assert not deadline.is_over(5)


def test_the_next_call_has_its_own_time(progress: Progress, deadline: Deadline, set_clock: Clock) -> None:
    progress.begin_call()
    progress.end_call()
    set_clock(2_000)
    progress.begin_call()
    assert not deadline.is_over(5)


def test_a_process_that_is_stopped_has_its_time_though_no_call_has_begun(
    deadline: Deadline, set_clock: Clock
) -> None:
    deadline.suspend()
    set_clock(1_005.1 + GRACE_S)
    assert deadline.is_over(5)


def test_a_process_that_goes_on_is_free_again(deadline: Deadline, set_clock: Clock) -> None:
    deadline.suspend()
    deadline.resume()
    set_clock(2_000)
    assert not deadline.is_over(5)


def test_a_call_counts_on_while_its_process_is_stopped_and_goes_on(
    progress: Progress, deadline: Deadline, set_clock: Clock
) -> None:
    progress.begin_call()
    set_clock(1_004)
    deadline.suspend()
    set_clock(1_005.1 + GRACE_S)
    assert deadline.is_over(5)
    deadline.resume()
    assert deadline.is_over(5)
