"""Progress: what a child writes is what the service reads, from both sides of one file."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenmicro.pools.spawning import shared_file
from greenmicro.progress import SLOTS, End, How, Progress


@pytest.fixture
def sides() -> tuple[Progress, Progress]:
    """The child's, and the service's."""
    child, service = Progress(), Progress()
    file = shared_file()
    for side in (child, service):
        side.share(file)
    os.close(file)
    return child, service


def test_nothing_has_happened_at_first(sides: tuple[Progress, Progress]) -> None:
    _, service = sides
    assert service.started == 0
    assert service.call_began_s == 0
    assert all(service.end_of(number) is None for number in range(1, SLOTS + 1))


def test_a_job_is_started_and_ends(sides: tuple[Progress, Progress]) -> None:
    child, service = sides
    assert child.start(1)
    assert service.started == 1
    assert service.end_of(1) is None
    child.finish(1, How.TOLD, 0.25)
    assert service.end_of(1) == End(How.TOLD, 0.25)
    assert service.started == 1


@given(
    number=st.integers(1, 2**40 - 1),
    how=st.sampled_from([How.SUCCEEDED, How.TOLD, How.UNRUN]),
    took_s=st.floats(0, 1e6),
)
def test_an_end_comes_as_it_was_written_with_a_time_of_4_seconds_at_most(
    number: int, how: int, took_s: float
) -> None:
    progress = Progress()
    progress.finish(number, how, took_s)
    end = progress.end_of(number)
    assert end is not None
    assert end.how == how
    assert end.took_s == pytest.approx(min(took_s, 4.194303), abs=1e-6)


def test_the_end_of_a_job_is_never_taken_for_that_of_another_one(sides: tuple[Progress, Progress]) -> None:
    """The slot is the same every so many jobs."""
    child, service = sides
    child.finish(7, How.SUCCEEDED)
    assert service.end_of(7 + SLOTS) is None
    child.finish(7 + SLOTS, How.UNRUN)
    assert service.end_of(7) is None


def test_a_job_that_was_recalled_is_not_to_be_run(sides: tuple[Progress, Progress]) -> None:
    """Those after it are."""
    child, service = sides
    service.recall(3)
    assert [child.start(number) for number in range(1, 6)] == [False, False, False, True, True]


def test_a_limited_call_begins_and_ends(sides: tuple[Progress, Progress]) -> None:
    child, service = sides
    before = time.monotonic()
    child.begin_call()
    assert before <= service.call_began_s <= time.monotonic()
    child.end_call()
    assert service.call_began_s == 0


def test_a_process_that_left_says_nothing(sides: tuple[Progress, Progress]) -> None:
    child, service = sides
    child.leave()
    child.start(1)
    child.finish(1, How.SUCCEEDED)
    child.begin_call()
    assert service.started == 0
    assert service.end_of(1) is None
    assert service.call_began_s == 0
