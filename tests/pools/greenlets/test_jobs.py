"""Every job of a GreenletPool is run and finished once; what races runs many times."""

from __future__ import annotations

import contextvars
import random
import time
from collections import Counter
from typing import Any

import gevent
from gevent.event import Event

from greenmicro.messages import SUCCEEDED, Message, Outcome, Settlement
from greenmicro.pools.greenlets import PARKED_MOST
from tests.fakes import Recorder, message
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


def test_a_job_runs_and_is_settled(start: Start) -> None:
    """Its entrypoint is told of the outcome."""
    pool = start(noop)
    submit(pool, 1)
    assert pool.wait_idle(TIMEOUT_S)
    assert recorder(pool).settled == [(message(1), Settlement.ACK, SUCCEEDED)]


def test_submit_returns_at_once(start: Start) -> None:
    """No target runs before the submitter waits for something."""
    ran: list[Any] = []
    pool = start(ran.append)
    submit(pool, *range(20))
    assert not ran
    assert pool.wait_idle(TIMEOUT_S)
    assert ran == list(range(20))


def test_a_failed_job_is_settled(start: Start) -> None:
    """And the pool goes on."""

    def target(payload: Any) -> None:
        if payload == 1:
            raise ValueError('one')

    pool = start(target, workers=1)
    submit(pool, 0, 1, 2)
    assert pool.wait_idle(TIMEOUT_S)
    assert [outcome.failure is None for outcome in recorder(pool).outcomes] == [True, False, True]


@often
def test_all_jobs_of_many_submitters_finish_once(turn: int, start: Start) -> None:
    """A thousand, from fifty greenlets; targets wait or not or fail; never more than three at once."""
    chance = random.Random(turn)
    running = Counter[str]()

    def target(payload: Any) -> None:
        running['now'] += 1
        running['most'] = max(running['most'], running['now'])
        try:
            if chance.random() < 0.3:
                gevent.sleep(0)
            if chance.random() < 0.1:
                raise ValueError
        finally:
            running['now'] -= 1

    pool = start(target)

    def submitter(number: int) -> None:
        for one in range(20):
            submit(pool, number * 20 + one)
            if chance.random() < 0.3:
                gevent.sleep(0)

    gevent.joinall([gevent.spawn(submitter, number) for number in range(50)], raise_error=True)
    assert pool.wait_idle(TIMEOUT_S)
    assert sorted(settled(pool)) == list(range(1_000))
    assert running['most'] <= 3
    assert running['now'] == 0


def test_there_are_never_more_than_max_workers(start: Start) -> None:
    """And as many as that, once there is work for them."""
    gate = Gate()
    pool = start(gate, workers=7)
    submit(pool, *range(50))
    gate.wait_for(7)
    assert len(pool.pending) == 43
    gate.open.set()
    assert pool.wait_idle(TIMEOUT_S)
    assert gate.most == 7
    assert len(settled(pool)) == 50


def test_five_thousand_run_at_once(start: Start) -> None:
    """Each waits; then they go on with as many again, and only some are kept for later."""
    gate = Gate()
    pool = start(gate, workers=5_000)
    submit(pool, *range(10_000))
    gate.wait_for(5_000)
    gate.open.set()
    assert pool.wait_idle(TIMEOUT_S)
    assert sorted(settled(pool)) == list(range(10_000))
    gevent.sleep(0)
    gevent.idle()
    assert len(pool._greenlets) <= PARKED_MOST


@often
def test_work_that_comes_while_greenlets_end_is_taken(turn: int, start: Start) -> None:
    """Above those that are kept, greenlets end; a slot that they still hold is not waited for in vain."""
    gate = Gate()
    pool = start(gate, workers=PARKED_MOST + 20)
    submit(pool, *range(PARKED_MOST + 20))
    gate.wait_for(PARKED_MOST + 20)
    gate.open.set()
    gate.open = Event()
    submit(pool, *range(PARKED_MOST + 20))
    gate.wait_for(PARKED_MOST + 20)
    gate.open.set()
    assert pool.wait_idle(TIMEOUT_S)


def test_entrypoints_take_turns(start: Start) -> None:
    """One that has a thousand waiting holds another's single message up by one turn."""
    order: list[str] = []

    class Named(Recorder):
        def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
            order.append('quiet' if self is quiet else 'busy')

    busy, quiet = Named(), Named()
    pool = start(noop, busy, quiet, workers=1)
    submit(pool, *range(1_000))
    pool.submit(quiet, message())
    assert pool.wait_idle(TIMEOUT_S)
    assert order.index('quiet') == 1
    assert len(order) == 1_001


def test_what_is_no_longer_ours_is_dropped(start: Start) -> None:
    """It does not run, and nothing is told of it."""
    ran: list[Any] = []
    pool = start(ran.append)
    gone = message('gone')
    recorder(pool).refused.append(gone)
    pool.submit(recorder(pool), gone)
    submit(pool, 'ours')
    assert pool.wait_idle(TIMEOUT_S)
    assert ran == settled(pool) == ['ours']


@often
def test_contexts_are_each_messages_own(turn: int, start: Start) -> None:
    """What one sets no other sees, whoever ran before on the same greenlet or runs beside it."""
    variable: contextvars.ContextVar[Any] = contextvars.ContextVar('variable')
    seen: list[Any] = []

    def target(payload: Any) -> None:
        seen.append(variable.get('unset'))
        variable.set(payload)
        gevent.sleep(0)
        seen.append(variable.get() == payload)

    variable.set('of the submitter')
    pool = start(target)
    submit(pool, *range(20))
    assert pool.wait_idle(TIMEOUT_S)
    assert Counter(seen) == {'unset': 20, True: 20}
    assert variable.get() == 'of the submitter'


def test_the_hub_gets_its_turn_among_targets_that_never_wait(start: Start) -> None:
    """Timers and sockets are looked at every few milliseconds, though no target ever waits for anything."""

    def busy(payload: Any) -> None:
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end:
            pass

    pool = start(busy, workers=50)
    submit(pool, *range(200))
    beats = 0
    while not pool.wait_idle(0.001):
        beats += 1
    # 0.2 s of work and a turn every 5 ms are 40; without turns there were none.
    assert beats >= 10
    assert len(settled(pool)) == 200
