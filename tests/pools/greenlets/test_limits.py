"""Time limits of a GreenletPool: a target is interrupted where it waits, and only then."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from socket import socketpair
from typing import Any

import gevent
from gevent.event import Event

from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.errors import TargetTimeoutError
from greenmicro.messages import NOT_RUN, SUCCEEDED, Reason
from greenmicro.routes import Route
from tests.fakes import Recorder, message
from tests.pools.greenlets.parts import (
    TIMEOUT_S,
    Start,
    failure_of,
    often,
    recorder,
    settled,
    submit,
)


def test_a_target_that_waits_too_long_is_interrupted_where_it_waits(start: Start) -> None:
    """The others go on; the traceback shows the line."""

    def target(payload: Any) -> None:
        if payload == 'slow':
            Event().wait()

    pool = start(target, Recorder(Route('fake_tasks.target', timeout_s=0.02)))
    submit(pool, 'slow', 'fine')
    assert pool.wait_idle(TIMEOUT_S)
    assert settled(pool) == ['fine', 'slow']
    failure = failure_of(recorder(pool).outcomes[1])
    assert failure.reason == Reason.TIMEOUT
    assert 'Event().wait()' in failure.traceback


def test_a_target_that_never_waits_is_not_interrupted(start: Start) -> None:
    """It has done its work, late: to fail it now would have it done again."""

    def target(payload: Any) -> None:
        end = time.perf_counter() + 0.02
        while time.perf_counter() < end:
            pass

    pool = start(target, Recorder(Route('fake_tasks.target', timeout_s=0.01)))
    submit(pool, 1)
    assert pool.wait_idle(TIMEOUT_S)
    assert recorder(pool).outcomes == [SUCCEEDED]


def test_time_that_the_hub_was_blocked_before_a_call_does_not_count(start: Start) -> None:
    """The loop's own clock stands still meanwhile."""

    def target(payload: Any) -> None:
        began = time.perf_counter()
        while payload == 'busy' and time.perf_counter() < began + 0.6:
            pass
        gevent.sleep(0.001)

    busy, brief = Recorder(), Recorder(Route('fake_tasks.target', timeout_s=0.5))
    pool = start(target, busy, brief)
    pool.submit(busy, message('busy'))
    pool.submit(brief, message('brief'))
    assert pool.wait_idle(TIMEOUT_S)
    assert brief.outcomes == [SUCCEEDED]


def test_what_came_in_time_while_the_hub_was_blocked_is_read_before_a_limit_counts(start: Start) -> None:
    """A target that blocks the hub fails none that only waited; who has nothing to go on with times out."""
    mine, theirs = socketpair()

    def target(payload: Any) -> None:
        if payload == 'waits':
            mine.recv(1)
        elif payload == 'waits in vain':
            Event().wait()
        else:
            theirs.send(b'x')
            end = time.perf_counter() + 0.1
            while time.perf_counter() < end:
                pass

    with mine, theirs:
        limited = Recorder(Route('fake_tasks.target', timeout_s=0.05))
        busy = Recorder()
        pool = start(target, limited, busy)
        pool.submit(limited, message('waits'))
        pool.submit(limited, message('waits in vain'))
        pool.submit(busy, message('blocks'))
        assert pool.wait_idle(TIMEOUT_S)
    assert limited.outcomes[0] == SUCCEEDED
    assert failure_of(limited.outcomes[1]).reason == Reason.TIMEOUT


def test_a_target_that_is_killed_after_its_time_out_is_killed(start: Start) -> None:
    """Whoever kills its greenlet waits for its end."""
    greenlets = []
    swallowed = Event()

    def target(payload: Any) -> None:
        greenlets.append(gevent.getcurrent())
        try:
            Event().wait()
        except BaseException:
            swallowed.set()
            Event().wait()

    pool = start(target, Recorder(Route('fake_tasks.target', timeout_s=0.01)))
    submit(pool, 1)
    assert swallowed.wait(TIMEOUT_S)
    greenlets[0].kill(timeout=TIMEOUT_S)
    assert greenlets[0].dead
    assert 'GreenletExit' in failure_of(recorder(pool).outcomes[0]).error


def test_a_target_that_is_interrupted_after_its_time_out_is_given_back(start: Start) -> None:
    """The stop goes first."""
    swallowed = Event()

    def target(payload: Any) -> None:
        try:
            Event().wait()
        except BaseException:
            swallowed.set()
            Event().wait()

    pool = start(target, Recorder(Route('fake_tasks.target', timeout_s=0.01)))
    submit(pool, 1)
    assert swallowed.wait(TIMEOUT_S)
    pool.interrupt(TIMEOUT_S)
    assert recorder(pool).outcomes == [NOT_RUN]


@often
def test_no_late_time_out_strikes(turn: int, start: Start) -> None:
    """Two hundred calls end within a hair of their limit; what they leave, and what follows, is unharmed."""
    chance = random.Random(turn)
    struck: list[BaseException] = []

    class Leaving(Dependency):
        def provide(self, context: WorkerContext) -> Iterator[Any]:
            began = time.monotonic()
            try:
                yield
            except TargetTimeoutError:
                took.append(time.monotonic() - began)
            try:
                gevent.sleep(chance.random() * 0.004)  # where a late one would find it
            except BaseException as error:
                struck.append(error)

    took: list[float] = []

    def target(payload: Any, leaving: Any) -> None:
        gevent.sleep(0.002 + chance.uniform(-0.0004, 0.0004))

    route = Route('fake_tasks.target', {'leaving': Leaving()}, timeout_s=0.002)
    pool = start(target, Recorder(route), workers=5)
    submit(pool, *range(200))
    assert pool.wait_idle(TIMEOUT_S)
    assert struck == []
    timed_out = [outcome for outcome in recorder(pool).outcomes if outcome.failure is not None]
    assert {failure_of(outcome).reason for outcome in timed_out} <= {Reason.TIMEOUT}
    assert len(timed_out) == len(took)
    assert all(one >= 0.002 for one in took)
