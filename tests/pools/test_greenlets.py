"""GreenletPool: every job finishes once, whatever its target does; those that race run many times."""

from __future__ import annotations

import contextvars
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from socket import socketpair
from typing import Any

import gevent
import pytest
from gevent import GreenletExit
from gevent.event import Event

from greenmicro import codecs
from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.entrypoints import Entrypoint
from greenmicro.errors import ConfigError, TargetTimeoutError
from greenmicro.messages import NOT_RUN, SUCCEEDED, Message, Outcome, Reason, Settlement
from greenmicro.pools.base import Job
from greenmicro.pools.greenlets import PARKED_MOST, GreenletPool
from greenmicro.routes import Route
from greenmicro.workers import Worker
from tests.fakes import Recorder, message, settings, tasks

TIMEOUT_S = 60.0
#: Races are run a few times in every run, and a hundred times with REPEATS=100.
often = pytest.mark.parametrize('turn', range(int(os.environ.get('REPEATS', '10'))))
Start = Callable[..., GreenletPool]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a pool whose `target` is a function, for a recorder or for other entrypoints."""
    pools: list[GreenletPool] = []

    def started(
        target: Callable[..., Any], *entrypoints: Entrypoint, workers: int = 3, **functions: Any
    ) -> GreenletPool:
        pool = GreenletPool(
            settings(MAX_WORKERS=workers), entrypoints or (Recorder(),), lambda publication: None
        )
        with tasks(target=target, **functions):
            pool.start()
        pools.append(pool)
        return pool

    yield started
    for pool in pools:
        pool.interrupt(0.5)
        pool.close()


def recorder(pool: GreenletPool) -> Recorder:
    found = pool.entrypoints[0]
    assert isinstance(found, Recorder)
    return found


def submit(pool: GreenletPool, *payloads: Any) -> None:
    for payload in payloads:
        pool.submit(pool.entrypoints[0], message(payload))


def settled(pool: GreenletPool) -> list[Any]:
    return [codecs.decode(received) for received, _, _ in recorder(pool).settled]


def failure_of(outcome: Outcome) -> Any:
    assert outcome.failure is not None
    return outcome.failure


def noop(payload: Any) -> None:
    pass


class Gate:
    """A target that waits until it is let on, and knows how many wait."""

    def __init__(self) -> None:
        self.open, self.arrived = Event(), Event()
        self.inside, self.most, self.expected = 0, 0, 1

    def __call__(self, payload: Any) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside == self.expected:
            self.arrived.set()
        try:
            self.open.wait()
        finally:
            self.inside -= 1

    def wait_for(self, expected: int) -> None:
        self.expected = expected
        self.arrived.clear()
        if self.inside != expected:
            assert self.arrived.wait(TIMEOUT_S)


# Every job, once.


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


# Greenlets that are killed, and code that breaks.


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


# Time limits.


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


# Waiting, and the end.


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


# The start.


class Noted(Dependency):
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def setup_worker(self) -> None:
        self.log.append('set up')

    def teardown_worker(self) -> None:
        self.log.append('torn down')

    def provide(self, context: WorkerContext) -> Iterator[Any]:
        self.log.append(context.entrypoint)
        yield context


def test_the_process_is_set_up_once_and_before_the_targets(start: Start) -> None:
    """A dependency that two entrypoints share is set up at the start and torn down at the close."""
    log: list[str] = []
    route = Route('fake_tasks.target', {'noted': Noted(log)})
    pool = start(lambda payload, noted: None, Recorder(route), Recorder(route))
    submit(pool, 1)
    assert pool.wait_idle(TIMEOUT_S)
    pool.close()
    assert log == ['set up', 'Recorder -> fake_tasks.target', 'torn down']


def test_all_faults_stop_the_start_at_once() -> None:
    """Each with its entrypoint; what was set up can be torn down."""
    log: list[str] = []
    entrypoints = [
        Recorder(Route(f'fake_tasks.{name}', {'n': Noted(log)})) for name in ('gone', 'target', 'lost')
    ]
    pool = GreenletPool(settings(), entrypoints, lambda publication: None)
    with tasks(target=noop), pytest.raises(ConfigError) as caught:
        pool.start()
    first, second = caught.value.faults
    assert first.startswith('Recorder -> fake_tasks.gone: target')
    assert second.startswith('Recorder -> fake_tasks.lost: target')
    pool.close()
    assert log == ['set up', 'torn down']


def test_worker_setup_is_called_first() -> None:
    """Once, before any target is resolved."""
    called: list[str] = []
    pool = GreenletPool(settings(WORKER_SETUP='fake_tasks.setup'), [Recorder()], lambda publication: None)

    def setup() -> None:
        import fake_tasks  # type: ignore[import-not-found]

        called.append('setup')
        fake_tasks.target = noop

    with tasks(setup=setup):
        pool.start()
    assert called == ['setup']


@pytest.mark.parametrize(
    ('path', 'fault'),
    [
        ('fake_tasks.broken', 'WORKER_SETUP fake_tasks.broken failed with OSError: no disk'),
        ('fake_tasks.gone', "WORKER_SETUP: target 'fake_tasks.gone'"),
    ],
)
def test_a_worker_setup_that_fails_stops_the_start(path: str, fault: str) -> None:
    """With a sentence that names it."""

    def broken() -> None:
        raise OSError('no disk')

    pool = GreenletPool(settings(WORKER_SETUP=path), [Recorder()], lambda publication: None)
    with tasks(broken=broken), pytest.raises(ConfigError) as caught:
        pool.start()
    (only,) = caught.value.faults
    assert only.startswith(fault)


def test_arguments_and_replies_are_the_entrypoints(start: Start) -> None:
    """Where its class maps the payload, and where somebody waits for the result."""

    class Calling(Recorder):
        replies = True

        def arguments(self, payload: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
            return tuple(payload), {'scale': 10}

    pool = start(lambda a, b, scale: (a + b) * scale, Calling())
    submit(pool, [1, 2])
    assert pool.wait_idle(TIMEOUT_S)
    assert recorder(pool).outcomes == [Outcome(True, None, (b'30', 'application/json', 'utf-8'))]
