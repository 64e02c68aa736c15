"""GreenletPool: workers as greenlets of the service's own process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextvars import Context
from time import monotonic
from typing import Any

import gevent
from gevent.event import Event
from gevent.hub import get_hub
from gevent.pool import Pool as GeventPool
from greenlet import GreenletExit, getcurrent

from greenmicro import targets
from greenmicro.dependencies import BeginCall, Publish, no_calls
from greenmicro.entrypoints import Entrypoint
from greenmicro.errors import ConfigError
from greenmicro.limits import Limit
from greenmicro.messages import NOT_RUN, Failure, Message, Outcome, Reason
from greenmicro.pools.base import Job, Pool
from greenmicro.settings import Settings
from greenmicro.workers import Interrupted, Place, Worker

logger = logging.getLogger(__name__)

#: So many greenlets without work stay, to be woken at 1 us instead of spawned at 14; others end.
PARKED_MOST = 100
#: So long, in seconds, targets that never wait may go on before the hub looks at its sockets and timers.
TURN_S = 0.005
#: A wait for that. Not 0: then the hub would first run up to a thousand other greenlets that want to go on.
NEXT_LOOP_S = 1e-9
#: A limit that is passed so late, in seconds, was so because the hub was blocked; what came meanwhile is then
#: read first, for so long.
LATE_S = 0.01
READ_S = 0.02
#: What a target fails of whose greenlet is killed.
KILLED = f'{GreenletExit.__module__}.{GreenletExit.__qualname__}'


class GreenletPool(Pool):
    """Runs each job in a greenlet of a gevent Pool, in a contextvars context of its own.

    A greenlet goes on with the next pending job when it has done one: `Pool.spawn` for each message costs
    13.9 us, taking the next one 0.8 to 2.2. It wakes a second greenlet when it takes up a job and more
    wait; that one has nothing to do if the first never has to wait for anything.
    """

    def __init__(
        self,
        settings: Settings,
        entrypoints: Sequence[Entrypoint],
        publish: Publish,
        begin_call: BeginCall = no_calls,
    ) -> None:
        super().__init__(settings, entrypoints, publish, begin_call)
        self._workers: dict[Entrypoint, Worker] = {}
        self._greenlets: Any = GeventPool(settings.max_workers)
        self._parked: dict[Any, None] = {}
        self._waking = False
        self._turn_began = 0.0
        self._turn_ends = False
        self._running: dict[Any, Job] = {}
        self._interrupted: set[Any] = set()
        self._closed = False
        self._idle = Event()
        self._idle.set()

    def start(self) -> None:
        """Resolve targets and set dependencies up, here; see the contract."""
        if self.settings.worker_setup is not None:
            _call_setup(self.settings.worker_setup)
        place = Place(self.settings, self.publish, SwitchLimit, self.begin_call)
        faults: list[str] = []
        for entrypoint in self.entrypoints:
            worker = self._workers[entrypoint] = _build_worker(entrypoint, place)
            try:
                worker.prepare()
            except ConfigError as error:
                faults += [f'{entrypoint.name}: {fault}' for fault in error.faults]
        if faults:
            raise ConfigError(*faults)

    def submit(self, entrypoint: Entrypoint, message: Message) -> None:
        """Let the job wait, and see to it that a greenlet takes it; see the contract."""
        if self._idle.is_set():
            self._turn_began = monotonic()
            self._idle.clear()
        self.pending.put(entrypoint, message)
        if not self._waking:
            self._wake()

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing runs and nothing waits; see the contract."""
        self._tell_if_idle()
        return bool(self._idle.wait(timeout_s))

    def interrupt(self, timeout_s: float) -> None:
        """Raise Interrupted in every target that still runs; see the contract."""
        self._closed = True
        busy = list(self._running)
        self._interrupted.update(busy)
        gevent.killall(busy, Interrupted('the deadline of the stop is over'), block=False)
        gevent.wait(busy, timeout=timeout_s)
        for job in self._running.values():
            logger.error('%s: %r ignores the stop and is abandoned', job.entrypoint.name, job.message)

    def close(self) -> None:
        """Tear the dependencies down; see the contract."""
        self._closed = True
        while self._parked:
            self._resume_parked()
        for worker in self._workers.values():
            worker.release()

    # Who takes what waits.

    def _wake(self) -> None:
        """Have one greenlet look for work, unless one is about to."""
        if self._waking or self._closed:
            return
        if self._parked:
            self._waking = True
            self._resume_parked()
        elif not self._greenlets.full():
            self._waking = True
            # Linked after the Pool's own link: its slot is free by then.
            self._greenlets.spawn(self._work).rawlink(self._ended)

    def _resume_parked(self) -> None:
        greenlet, _ = self._parked.popitem()
        get_hub().loop.run_callback(greenlet.switch)

    def _ended(self, greenlet: Any) -> None:
        """Replace a greenlet that was killed; it may have been the one that was about to look."""
        self._waking = False
        if self.pending:
            self._wake()
        self._tell_if_idle()

    def _tell_if_idle(self) -> None:
        if not self._running and not self.pending:
            self._idle.set()

    # A greenlet's life.

    def _work(self) -> None:
        me = getcurrent()
        alive = True
        while alive:
            self._waking = False
            if self._closed or not self._may_go_on():
                alive = self._park(me)
                continue
            job = self.pending.take()
            if job is None:
                alive = self._park(me)
                continue
            if self.pending:
                self._wake()
            alive = self._do(me, job)

    def _may_go_on(self) -> bool:
        """Let the hub have its turn when it is due; False if another greenlet is seeing to that."""
        if monotonic() - self._turn_began < TURN_S:
            return True
        if self._turn_ends:
            return False
        self._turn_ends = True
        try:
            gevent.sleep(NEXT_LOOP_S)
        finally:
            self._turn_ends = False
        self._turn_began = monotonic()
        return True

    def _park(self, me: Any) -> bool:
        """Wait to be woken; False when there is no need for this greenlet any more."""
        self._tell_if_idle()
        if self._closed or len(self._parked) >= PARKED_MOST:
            return False
        self._parked[me] = None
        try:
            get_hub().switch()
        finally:
            self._parked.pop(me, None)  # still there if it was killed: nobody is to wake it
        return True

    def _do(self, me: Any, job: Job) -> bool:
        """Run a job and tell its outcome; False when this greenlet was killed meanwhile, and has to end."""
        self._running[me] = job
        try:
            outcome = self._run(job)
            killed = outcome.failure is not None and KILLED in outcome.failure.lineage
            if outcome.failure is not None and me in self._interrupted:
                outcome = NOT_RUN
            self.tell_outcome(job, outcome)
        finally:
            del self._running[me]
        return not killed

    def _run(self, job: Job) -> Outcome:
        worker = self._workers[job.entrypoint]
        try:
            outcome = Context().run(worker.run, job.message)
            if not isinstance(outcome, Outcome):
                raise TypeError(f'{type(worker).__name__}.run: wanted an Outcome, found {outcome!r}')
        except BaseException as error:
            # Only a Worker subclass, or a kill between its steps, gets here.
            return Outcome.failed(Failure.of(Reason.TARGET, error))
        return outcome


class SwitchLimit(Limit):
    """Raises in the greenlet that makes the call, at its next switch point, by a timer of the hub.

    The timer runs in the hub: what it throws arrives before the greenlet goes on, or, once the greenlet has
    come to `stop`, never. A target that never waits for anything is not interrupted.

    While another target blocks the hub the time goes on. But what a target waited for may be there by then,
    unread: libev runs timers before that.
    """

    #: A kill, and the deadline of a stop, have to get through to the pool.
    passing = (GreenletExit, Interrupted)

    def start(self) -> None:
        """Set the timer; see the contract."""
        self._due = monotonic() + self.timeout_s
        self._set(self.timeout_s, self._pass, getcurrent())

    def stop(self) -> None:
        """Take the timer away; see the contract."""
        self._timer.close()

    def _set(self, seconds: float, then: Callable[[Any], None], greenlet: Any) -> None:
        self._timer = get_hub().loop.timer(seconds)
        # By the clock of now: the loop's own is as old as the hub was busy, and the timer early by that.
        self._timer.start(then, greenlet, update=True)

    def _pass(self, greenlet: Any) -> None:
        if monotonic() < self._due + LATE_S:
            self._throw(greenlet)
        else:
            self._timer.close()
            self._set(READ_S, self._throw, greenlet)

    def _throw(self, greenlet: Any) -> None:
        greenlet.throw(self.expire())


def _call_setup(path: str) -> None:
    try:
        targets.resolve(path)()
    except ConfigError as error:
        raise ConfigError(*(f'WORKER_SETUP: {fault}' for fault in error.faults)) from error
    except Exception as error:
        raise ConfigError(f'WORKER_SETUP {path} failed with {type(error).__name__}: {error}') from error


def _build_worker(entrypoint: Entrypoint, place: Place) -> Worker:
    """Build an entrypoint's worker; its `arguments` is only asked where it is overridden."""
    overridden = type(entrypoint).arguments is not Entrypoint.arguments
    return entrypoint.route.worker_for(
        entrypoint.name,
        place,
        entrypoint.arguments if overridden else None,
        entrypoint.replies,
        entrypoint.encode,
    )
