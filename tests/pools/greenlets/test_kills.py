"""Greenlets that are killed, and code of the user that breaks, cost no job and no worker."""

from __future__ import annotations

import random
from typing import Any

import gevent
import pytest
from gevent import GreenletExit
from gevent.event import Event

from greenmicro.messages import Message, Outcome, Reason, Settlement
from greenmicro.routes import Route
from greenmicro.workers import Worker
from tests.fakes import Recorder
from tests.pools.greenlets.parts import (
    TIMEOUT_S,
    Gate,
    Start,
    failure_of,
    noop,
    often,
    recorder,
    settled,
    submit,
)


@often
def test_a_killed_greenlet_is_replaced(turn: int, start: Start) -> None:
    """Its message has failed, once; what waits is run by others; the killer does not wait for ever."""
    gate, greenlets = Gate(), []

    def target(payload: Any) -> None:
        greenlets.append(gevent.getcurrent())
        gate(payload)

    pool = start(target, workers=2)
    submit(pool, *range(6))
    gate.wait_for(2)
    for greenlet in greenlets[:2]:
        greenlet.kill(timeout=TIMEOUT_S)
        assert greenlet.dead
    gate.wait_for(2)
    assert [failure_of(outcome).reason for outcome in recorder(pool).outcomes] == [Reason.TARGET] * 2
    assert 'GreenletExit' in failure_of(recorder(pool).outcomes[0]).error
    gate.open.set()
    assert pool.wait_idle(TIMEOUT_S)
    assert sorted(settled(pool)) == list(range(6))


def test_a_target_that_kills_itself_has_failed(start: Start) -> None:
    """So has one that raises GreenletExit; the next message finds a greenlet."""

    def target(payload: Any) -> None:
        if payload == 'kill':
            gevent.getcurrent().kill()
        if payload == 'raise':
            raise GreenletExit

    pool = start(target, workers=1)
    submit(pool, 'kill', 'raise', 'fine')
    assert pool.wait_idle(TIMEOUT_S)
    assert settled(pool) == ['kill', 'raise', 'fine']
    assert [outcome.failure is None for outcome in recorder(pool).outcomes] == [False, False, True]


@pytest.mark.parametrize('when', ['before it has begun', 'while it is parked', 'while it is being woken'])
def test_a_greenlet_killed_without_work_is_replaced(when: str, start: Start) -> None:
    """Nothing waits for one that will never come."""
    pool = start(noop, workers=1)
    if when != 'before it has begun':
        submit(pool, 'first')
        assert pool.wait_idle(TIMEOUT_S)
    if when != 'while it is parked':
        submit(pool, 'second')
    (greenlet,) = pool._greenlets
    greenlet.kill(block=False)
    gevent.joinall([greenlet], timeout=TIMEOUT_S)
    submit(pool, 'third')
    assert pool.wait_idle(TIMEOUT_S)
    assert settled(pool)[-1] == 'third'
    assert (
        len(set(settled(pool)))
        == len(settled(pool))
        == {'before it has begun': 2}.get(when, len(settled(pool)))
    )


@often
def test_jobs_finish_once_while_greenlets_are_killed_at_random(turn: int, start: Start) -> None:
    """Two hundred jobs, fifty kills at any point: each job finishes once, and nothing gets stuck."""
    chance = random.Random(turn)

    def target(payload: Any) -> None:
        for _ in range(chance.randrange(3)):
            gevent.sleep(0)

    pool = start(target, workers=4)
    submit(pool, *range(100))
    for number in range(50):
        chance.choice([*pool._greenlets] or [gevent.spawn(noop, 0)]).kill(block=False)
        submit(pool, 100 + 2 * number, 101 + 2 * number)
        gevent.sleep(0)
    assert pool.wait_idle(TIMEOUT_S)
    assert sorted(settled(pool)) == list(range(200))


def test_a_settle_that_raises_stops_nothing(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the only greenlet goes on with what waits."""

    class Broken(Recorder):
        def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
            super().settle(message, settlement, outcome)
            raise OSError('no route to host')

    pool = start(noop, Broken(), workers=1)
    submit(pool, 1, 2)
    assert pool.wait_idle(TIMEOUT_S)
    assert settled(pool) == [1, 2]
    assert caplog.text.count('OSError: no route') == 2


def test_a_finished_that_raises_stops_nothing(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Not even what no entrypoint should do: it is logged, and the same greenlet goes on."""
    greenlets = set()

    class Broken(Recorder):
        def finished(self, message: Message, outcome: Outcome) -> None:
            super().finished(message, outcome)
            greenlets.add(gevent.getcurrent())
            raise OSError('all is lost')

    pool = start(noop, Broken(), workers=1)
    submit(pool, 1, 2)
    assert pool.wait_idle(TIMEOUT_S)
    assert settled(pool) == [1, 2]
    assert caplog.text.count('OSError: all is lost') == 2
    assert len(greenlets) == 1


def test_it_is_not_idle_while_a_settlement_is_carried_out(start: Start) -> None:
    """A reply that takes its time is not cut off by a stop."""
    begun, go_on = Event(), Event()

    class Replying(Recorder):
        def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
            begun.set()
            go_on.wait()

    pool = start(noop, Replying())
    submit(pool, 1)
    assert begun.wait(TIMEOUT_S)
    assert not pool.wait_idle(0)
    go_on.set()
    assert pool.wait_idle(TIMEOUT_S)


def test_a_worker_that_returns_no_outcome_has_failed(start: Start) -> None:
    """An overridden run() that forgets its return; the sentence says so."""

    class Forgetful(Worker):
        def run(self, message: Message) -> Outcome:
            super().run(message)
            return None  # type: ignore[return-value]

    pool = start(noop, Recorder(Route('fake_tasks.target', worker_class=Forgetful)), workers=1)
    submit(pool, 1, 2)
    assert pool.wait_idle(TIMEOUT_S)
    errors = {failure_of(outcome).error for outcome in recorder(pool).outcomes}
    assert errors == {'TypeError: Forgetful.run: wanted an Outcome, found None'}


@pytest.mark.parametrize(
    'error', [ValueError('x'), SystemExit(1), KeyboardInterrupt(), BaseException()], ids=repr
)
def test_a_worker_whose_run_raises_has_failed(error: BaseException, start: Start) -> None:
    """Whatever it raises."""

    class Raising(Worker):
        def run(self, message: Message) -> Outcome:
            raise error

    pool = start(noop, Recorder(Route('fake_tasks.target', worker_class=Raising)), workers=1)
    submit(pool, 1, 2)
    assert pool.wait_idle(TIMEOUT_S)
    assert [failure_of(outcome).reason for outcome in recorder(pool).outcomes] == [Reason.TARGET] * 2
