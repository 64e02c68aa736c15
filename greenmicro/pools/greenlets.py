"""GreenletPool: workers as greenlets of the service's own process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextvars import Context
from typing import Any

import gevent
from gevent.event import Event
from gevent.hub import get_hub
from gevent.pool import Pool as GeventPool
from greenlet import getcurrent

from greenmicro import targets
from greenmicro.dependencies import Publish
from greenmicro.entrypoints import Entrypoint
from greenmicro.errors import ConfigError
from greenmicro.messages import NOT_RUN, Failure, Message, Outcome, Reason
from greenmicro.pools.base import Job, Pool
from greenmicro.settings import Settings
from greenmicro.workers import Interrupted, Place, Worker

logger = logging.getLogger(__name__)

#: So many greenlets without work stay, to be woken at 1 us instead of spawned at 14; others end.
PARKED_MOST = 100
#: A worker that never has to wait lets the others run this often, counted in messages.
TURN = 50


class GreenletPool(Pool):
    """Runs each job in a greenlet of a gevent Pool, in a contextvars context of its own.

    A greenlet goes on with the next pending job when it has done one: `Pool.spawn` for each message costs
    13.9 us, taking the next one 0.8 to 2.2. It wakes a second greenlet when it takes up a job and more
    wait; that one has nothing to do if the first never has to wait for anything.
    """

    def __init__(self, settings: Settings, entrypoints: Sequence[Entrypoint], publish: Publish) -> None:
        super().__init__(settings, entrypoints, publish)
        self._workers: dict[Entrypoint, Worker] = {}
        self._greenlets: Any = GeventPool(settings.max_workers)
        self._parked: list[Any] = []
        self._waking = False
        self._running: dict[Any, Job] = {}
        self._interrupted: set[Any] = set()
        self._closed = False
        self._idle = Event()
        self._idle.set()

    def start(self) -> None:
        """Resolve targets and set dependencies up, here; see the contract."""
        if self.settings.worker_setup is not None:
            targets.resolve(self.settings.worker_setup)()
        place = Place(self.settings, self.publish)
        faults: list[str] = []
        for entrypoint in self.entrypoints:
            worker = build_worker(entrypoint, place)
            try:
                worker.prepare()
            except ConfigError as error:
                faults += [f'{entrypoint.name}: {fault}' for fault in error.faults]
            self._workers[entrypoint] = worker
        if faults:
            raise ConfigError(*faults)

    def submit(self, entrypoint: Entrypoint, message: Message) -> None:
        """Let the job wait, and see to it that a greenlet takes it; see the contract."""
        self._idle.clear()
        self.pending.put(entrypoint, message)
        self._wake()

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing runs and nothing waits; see the contract."""
        if not self.pending and not self._running:
            self._idle.set()
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
        for greenlet in self._parked:
            get_hub().loop.run_callback(greenlet.switch)
        self._parked.clear()
        for worker in self._workers.values():
            worker.release()

    def _wake(self) -> None:
        """Have one greenlet look for work, unless one is about to."""
        if self._waking or self._closed:
            return
        if self._parked:
            self._waking = True
            get_hub().loop.run_callback(self._parked.pop().switch)
        elif not self._greenlets.full():
            self._waking = True
            self._greenlets.spawn(self._work)

    def _work(self) -> None:
        me = getcurrent()
        done = 0
        while True:
            self._waking = False
            job = None if self._closed else self.pending.take()
            if job is None:
                if not self._park(me):
                    return
                continue
            self._running[me] = job
            if self.pending:
                self._wake()
            outcome = self._run(job)
            del self._running[me]
            if outcome.failure is not None and me in self._interrupted:
                outcome = NOT_RUN
            job.entrypoint.finished(job.message, outcome)
            done += 1
            if not done % TURN:
                gevent.sleep(0)

    def _park(self, me: Any) -> bool:
        """Wait to be woken; False when there is no need for this greenlet any more."""
        if not self._running and not self.pending:
            self._idle.set()
        if self._closed or len(self._parked) >= PARKED_MOST:
            return False
        self._parked.append(me)
        try:
            get_hub().switch()
        finally:
            if me in self._parked:  # killed while parked: somebody else's work is not to wake it
                self._parked.remove(me)
        return True

    def _run(self, job: Job) -> Outcome:
        try:
            return Context().run(self._workers[job.entrypoint].run, job.message)
        except BaseException as error:
            # Only a Worker subclass, or a kill between its steps, gets here.
            return Outcome.failed(Failure.of(Reason.TARGET, error))


def build_worker(entrypoint: Entrypoint, place: Place) -> Worker:
    """Build an entrypoint's worker; its `arguments` is only asked where it is overridden."""
    overridden = type(entrypoint).arguments is not Entrypoint.arguments
    return entrypoint.route.worker_for(
        entrypoint.name, place, entrypoint.arguments if overridden else None, entrypoint.replies
    )
