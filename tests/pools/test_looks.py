"""Looks: when it is looked, and how often."""

from __future__ import annotations

import time

import gevent
import pytest
from gevent.event import Event

from greenmicro.pools.looks import Looks

TIMEOUT_S = 60


@pytest.fixture
def looked() -> Event:
    return Event()


def test_it_is_looked_once_and_not_too_soon(looked: Event) -> None:
    """However long the hub was busy before."""
    looks = Looks(looked.set)
    end = time.perf_counter() + 0.05
    while time.perf_counter() < end:
        pass
    began = time.monotonic()
    looks.within(0.03)
    assert looked.wait(TIMEOUT_S)
    assert time.monotonic() - began >= 0.03
    looked.clear()
    assert not looked.wait(0.05)


def test_the_earliest_is_the_one(looked: Event) -> None:
    looks = Looks(looked.set)
    looks.within(1_000)
    looks.within(0.01)
    looks.within(1_000)
    assert looked.wait(TIMEOUT_S)


def test_a_look_may_ask_for_the_next_one() -> None:
    times: list[float] = []
    enough = Event()

    def look() -> None:
        times.append(time.monotonic())
        if len(times) == 3:
            enough.set()
        else:
            looks.within(0.001)

    looks = Looks(look)
    looks.within(0.001)
    assert enough.wait(TIMEOUT_S)


def test_what_is_cancelled_does_not_come(looked: Event) -> None:
    looks = Looks(looked.set)
    looks.within(0.01)
    looks.cancel()
    looks.cancel()
    gevent.sleep(0.03)
    assert not looked.is_set()
