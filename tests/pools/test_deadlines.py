"""Deadline: what counts, and what does not."""

from __future__ import annotations

import gevent
import pytest
from gevent.event import Event

from greenmicro.pools import deadlines
from greenmicro.pools.deadlines import Deadline

TIMEOUT_S = 60


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> Event:
    monkeypatch.setattr(deadlines, 'GRACE_S', 0.01)
    return Event()


def test_a_call_that_goes_on_passes_it_once(passed: Event) -> None:
    deadline = Deadline(passed.set)
    deadline.start(0.01)
    assert passed.wait(TIMEOUT_S)
    passed.clear()
    assert not passed.wait(0.05)


def test_a_call_that_ends_does_not(passed: Event) -> None:
    deadline = Deadline(passed.set)
    deadline.start(0.01)
    deadline.stop()
    deadline.stop()
    assert not passed.wait(0.05)


def test_the_next_call_has_its_own_time(passed: Event) -> None:
    deadline = Deadline(passed.set)
    for _ in range(5):
        deadline.start(0.4)
        gevent.sleep(0.1)
    assert not passed.is_set()
    assert passed.wait(TIMEOUT_S)


def test_a_process_that_is_stopped_has_its_time_though_no_call_has_begun(passed: Event) -> None:
    deadline = Deadline(passed.set)
    deadline.suspend(0.01)
    assert passed.wait(TIMEOUT_S)


def test_a_process_that_goes_on_is_free_again(passed: Event) -> None:
    deadline = Deadline(passed.set)
    deadline.suspend(0.01)
    deadline.resume()
    assert not passed.wait(0.05)


def test_a_call_counts_on_while_its_process_is_stopped_and_goes_on(passed: Event) -> None:
    deadline = Deadline(passed.set)
    deadline.start(0.01)
    deadline.suspend(100)
    deadline.resume()
    assert passed.wait(TIMEOUT_S)
