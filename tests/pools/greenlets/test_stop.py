"""Waiting for a GreenletPool, interrupting it, and its end."""

from __future__ import annotations

from collections import Counter
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenmicro import codecs
from greenmicro.messages import NOT_RUN, Settlement
from greenmicro.pools.base import Job
from tests.fakes import message
from tests.pools.greenlets.parts import (
    TIMEOUT_S,
    Gate,
    Start,
    noop,
    often,
    recorder,
    settled,
    submit,
)


def test_a_pool_is_idle_until_there_is_work(start: Start) -> None:
    """And again when it is done, or what waits was taken away."""
    gate = Gate()
    pool = start(gate, workers=1)
    assert pool.wait_idle(0)
    submit(pool, 1, 2)
    assert not pool.wait_idle(0)
    gate.wait_for(1)
    assert pool.pending.clear() == [Job(recorder(pool), message(2))]
    assert not pool.wait_idle(0.001)
    gate.open.set()
    assert pool.wait_idle(TIMEOUT_S)
    assert settled(pool) == [1]


@often
def test_an_interrupted_job_has_not_run(turn: int, start: Start) -> None:
    """Each that runs finishes as NOT_RUN; what waits stays, for the service to give back."""
    gate = Gate()
    pool = start(gate)
    submit(pool, *range(5))
    gate.wait_for(3)
    pool.interrupt(TIMEOUT_S)
    assert recorder(pool).settled == [(message(n), Settlement.GIVE_BACK, NOT_RUN) for n in range(3)]
    assert len(pool.pending) == 2
    pool.pending.clear()
    assert pool.wait_idle(0)


def test_a_failure_that_an_interruption_caused_is_none(start: Start) -> None:
    """A target that turns it into an error of its own is given back too; one that ends is done."""
    begun = Counter[str]()

    def target(payload: Any) -> None:
        begun[payload] += 1
        try:
            Event().wait()
        except BaseException:
            if payload == 'turns':
                raise ValueError from None

    pool = start(target)
    submit(pool, 'turns', 'ends')
    gevent.sleep(0)
    gevent.idle()
    pool.interrupt(TIMEOUT_S)
    assert {codecs.decode(one): settlement for one, settlement, _ in recorder(pool).settled} == {
        'turns': Settlement.GIVE_BACK,
        'ends': Settlement.ACK,
    }


def test_a_target_that_ignores_the_interruption_is_abandoned(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named in the log, and not waited for; if it ends after all it is settled as it ends."""
    begun, go_on = Event(), Event()

    def target(payload: Any) -> None:
        begun.set()
        while not go_on.is_set():
            try:
                go_on.wait()
            except BaseException:
                pass

    pool = start(target)
    submit(pool, 1)
    assert begun.wait(TIMEOUT_S)
    pool.interrupt(0.01)
    assert 'ignores the stop and is abandoned' in caplog.text
    assert not recorder(pool).settled
    go_on.set()
    assert pool.wait_idle(TIMEOUT_S)
    assert settled(pool) == [1]


def test_nothing_starts_after_an_interruption(start: Start) -> None:
    """What is submitted then waits, to be given back."""
    pool = start(noop)
    pool.interrupt(0)
    submit(pool, 1)
    assert not pool.wait_idle(0.001)
    assert [job.message for job in pool.pending.clear()] == [message(1)]


def test_no_greenlet_stays_when_it_is_closed(start: Start) -> None:
    """Those without work end."""
    pool = start(noop, workers=10)
    submit(pool, *range(100))
    assert pool.wait_idle(TIMEOUT_S)
    pool.close()
    pool._greenlets.join(timeout=TIMEOUT_S)
    assert not pool._greenlets
