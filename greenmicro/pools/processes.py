"""ProcessPool: workers in child processes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Any

import gevent
from gevent.event import Event

from greenmicro.dependencies import BeginCall, Publish, no_calls
from greenmicro.entrypoints import Entrypoint
from greenmicro.errors import ConfigError, TargetTimeoutError
from greenmicro.limits import overrun
from greenmicro.messages import NOT_RUN, Failure, Message, Outcome, Reason
from greenmicro.pipe import dumps
from greenmicro.pools.base import Job, Pool
from greenmicro.pools.children import KILL_TIMEOUT_S, Child
from greenmicro.pools.deadlines import GRACE_S
from greenmicro.pools.setup import route_table, setup_frame
from greenmicro.settings import Settings

logger = logging.getLogger(__name__)

#: How long children get to release their workers at the end, in seconds.
CLOSE_TIMEOUT_S = 1.0
#: How long the other children get, in seconds, to say what is wrong when one has said so.
FAULTS_TIMEOUT_S = 1.0
#: While children die before they are of use, so much lies between one start and the next, in seconds.
RETRY_S = 1.0
#: The replacement of a child is started when so large a part of its tasks is left.
EARLY = 0.1
#: To so many children a job is given that die before they have begun it; then it is taken for the cause.
MOST_CHILDREN = 3


class ProcessPool(Pool):
    """Runs each job in one of `max_workers` child processes, one at a time in each.

    A job that a child had started when it died has failed; one that it had not goes to another child. The
    dead child is replaced at once, and so is one that has run MAX_TASKS_PER_CHILD jobs, or holds more than
    MAX_MEMORY_PER_CHILD_MB.
    """

    def __init__(
        self,
        settings: Settings,
        entrypoints: Sequence[Entrypoint],
        publish: Publish,
        begin_call: BeginCall = no_calls,
    ) -> None:
        super().__init__(settings, entrypoints, publish, begin_call)
        # Here, and not in start(): before then the entrypoints' setup() gives them what cannot be pickled.
        self._table = route_table(entrypoints)
        self._routes = {entrypoint: number for number, entrypoint in enumerate(entrypoints)}
        self._setup = b''
        self._children: set[Child] = set()
        self._retired: set[Child] = set()
        self._ready = 0
        self._idle: list[Child] = []
        self._unfinished = 0
        self._passed_on: Counter[int] = Counter()
        self._failed_starts = 0
        self._started_at = 0.0
        self._start_fault = ''
        self._closed = False
        self._missing = Event()
        self._all_done = Event()
        self._all_done.set()
        self._keeper: Any = None
        limit = settings.max_tasks_per_child
        self._worn_at = None if limit is None else max(1, limit - int(limit * EARLY))

    def start(self) -> None:
        """Start all children and wait until each is ready; see the contract.

        A close() meanwhile ends the wait.
        """
        self._setup = setup_frame(self.settings, self._table)
        children = [Child(self) for _ in range(self.settings.max_workers)]
        try:
            for child in children:
                self._start(child)
        except OSError as error:
            self.close()
            raise ConfigError(f'worker process {len(self._children) + 1} does not start: {error}') from error
        faults = _faults(children)
        if self._closed:
            return
        if faults:
            self.close()
            raise ConfigError(*faults)
        self._keeper = gevent.spawn(self._keep)
        # From here on dead ones are replaced, those too that died since they got ready.
        self._missing.set()

    def submit(self, entrypoint: Entrypoint, message: Message) -> None:
        """Let the job wait, and have an idle child take the next one; see the contract."""
        self._all_done.clear()
        self.pending.put(entrypoint, message)
        self._feed()

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing runs and nothing waits; see the contract."""
        self._tell_if_done()
        return bool(self._all_done.wait(timeout_s))

    def interrupt(self, timeout_s: float) -> None:
        """Kill the children that are busy, with all that they have started; see the contract."""
        self._shut()
        busy = [child for child in (*self._children, *self._retired) if child.jobs]
        for child in busy:
            child.kill()
        gevent.wait([child.gone for child in busy], timeout=timeout_s)

    def close(self) -> None:
        """Have the children end, or kill them; see the contract."""
        self._shut()
        children = [*self._children, *self._retired]
        for child in self._children:
            # One that is not ready may hang, and has nothing to release.
            (child.retire if child.ready else child.kill)()
        ends = [child.gone for child in children]
        gevent.wait(ends, timeout=CLOSE_TIMEOUT_S)
        for child in children:
            child.kill()
        gevent.wait(ends, timeout=KILL_TIMEOUT_S)
        for child in children:
            if not child.gone.is_set():
                child.leave()

    def _shut(self) -> None:
        """Start neither jobs nor children any more."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.kill()

    # What waits, and who takes it.

    def _feed(self) -> None:
        """Have idle children take what waits; with a replacement more than slots, not all may."""
        while self._idle and self._ready - len(self._idle) < self.settings.max_workers and not self._closed:
            job = self.pending.take()
            if job is None:
                self._tell_if_done()  # what waited was not ours any more
                return
            self._unfinished += 1
            try:
                payload = dumps((self._routes[job.entrypoint], job.message[:-1]))
            except Exception as error:  # whatever a header's __reduce__ raises
                self._finish(job, Outcome.failed(Failure.of(Reason.UNREADABLE, error)))
                continue
            child = self._idle.pop()
            child.send(job, payload)
            if child.tasks == self._worn_at:
                self._missing.set()

    def _finish(self, job: Job, outcome: Outcome) -> None:
        self.tell_outcome(job, outcome)
        self._unfinished -= 1
        self._passed_on.pop(id(job.message), None)
        self._tell_if_done()

    def _tell_if_done(self) -> None:
        if not self._unfinished and not self.pending:
            self._all_done.set()
            self._passed_on.clear()  # what is not ours any more was never finished

    # What children tell.

    def on_ready(self, child: Child) -> None:
        """Let it take jobs."""
        if self._start_fault:
            logger.info('worker processes get ready again')
        self._start_fault = ''
        self._ready += 1
        self._idle.append(child)
        self._feed()

    def on_done(self, child: Child, job: Job, outcome: Outcome) -> None:
        """Give it its next job, then settle the one that it has done."""
        self._failed_starts = 0
        if child.large or child.tasks == self.settings.max_tasks_per_child:
            self._retire(child)
        else:
            self._idle.append(child)
        self._feed()
        self._finish(job, outcome)

    def on_gone(self, child: Child) -> None:
        """Settle or pass on what it had, and have it replaced."""
        if child in self._retired:
            self._retired.remove(child)
        else:
            self._forget(child)
        for number, job in reversed(child.jobs.items()):
            if self._closed:
                self._finish(job, NOT_RUN)
            elif number == child.started:
                self._finish(job, Outcome.failed(_failure(child, job)))
            else:
                self._pass_on(job, child)
        self._missing.set()
        self._feed()

    def _pass_on(self, job: Job, child: Child) -> None:
        """Let another child have a job, unless it kills them, as a body does that none has the memory for."""
        self._passed_on[id(job.message)] += 1
        if self._passed_on[id(job.message)] < MOST_CHILDREN:
            self._unfinished -= 1
            self.pending.put_first(job)
            return
        text = f'{MOST_CHILDREN} worker processes ended before they had begun it, the last one {child.end}'
        self._finish(job, Outcome.failed(Failure(Reason.WORKER_LOST, f'worker lost: {text}')))

    # How many there are.

    def _start(self, child: Child) -> None:
        child.start(self._setup)
        self._children.add(child)

    def _retire(self, child: Child) -> None:
        self._children.remove(child)
        self._retired.add(child)
        self._ready -= 1
        child.retire()
        # Its target may have left a thread that never ends.
        gevent.spawn_later(self.settings.stop_timeout_s, child.kill)
        self._missing.set()

    def _forget(self, child: Child) -> None:
        self._children.remove(child)
        if child.ready:
            self._ready -= 1
        if child in self._idle:
            self._idle.remove(child)
        if self._closed or self._keeper is None:
            return
        if child.ready:
            logger.warning('worker process %d was lost: %s; it is replaced', child.pid, child.end)
            # One that died before it was of use: those after it may die of the same.
            self._failed_starts += not child.tasks
        else:
            self._start_failed(_start_faults(child))

    def _start_failed(self, faults: Sequence[str]) -> None:
        self._failed_starts += 1
        fault = '\n'.join(faults)
        if fault != self._start_fault:
            self._start_fault = fault
            logger.error('a worker process cannot be replaced, which is tried again: %s', fault)

    def _keep(self) -> None:
        """Start the children that are missing; the greenlet of this pool."""
        while True:
            self._missing.wait()
            self._missing.clear()
            while len(self._children) < self._wanted():
                if self._failed_starts:
                    gevent.sleep(max(0.0, self._started_at + RETRY_S - monotonic()))
                self._started_at = monotonic()
                try:
                    self._start(Child(self))
                except OSError as error:
                    self._start_failed([str(error)])

    def _wanted(self) -> int:
        """Count the slots, and the successors of children whose tasks are nearly used up."""
        slots = self.settings.max_workers
        if self._worn_at is None:
            return slots
        return slots + min(slots, sum(child.tasks >= self._worn_at for child in self._children))


def _failure(child: Child, job: Job) -> Failure:
    """Say why a job failed whose child has died."""
    timeout_s = job.entrypoint.route.timeout_s
    if not child.overran or timeout_s is None:
        return Failure(Reason.WORKER_LOST, f'worker lost: {child.end}')
    text = f'{overrun(timeout_s)} and did not end within {GRACE_S:g} s more; its worker process was killed'
    return Failure.of(Reason.TIMEOUT, TargetTimeoutError(text))


def _faults(children: Sequence[Child]) -> list[str]:
    """Wait until each child is ready or it is known why not; return what was found, once each."""
    known = [child.known for child in children]
    for _ in gevent.iwait(known):
        if not all(child.ready for child in children if child.known.is_set()):
            # One of the others may hang instead.
            gevent.wait(known, timeout=FAULTS_TIMEOUT_S)
            break
    failed = [child for child in children if child.known.is_set() and not child.ready]
    return list(dict.fromkeys(fault for child in failed for fault in _start_faults(child)))


def _start_faults(child: Child) -> Sequence[str]:
    return child.faults or [f'a worker process {child.end} before it was ready; its output may tell why']
