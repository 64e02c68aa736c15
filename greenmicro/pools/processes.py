"""ProcessPool: workers in child processes."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Sequence

import gevent
from gevent.event import Event
from gevent.hub import get_hub

from greenmicro.dependencies import BeginCall, Publish, no_calls
from greenmicro.entrypoints import Entrypoint
from greenmicro.errors import ConfigError, TargetTimeoutError
from greenmicro.limits import overrun
from greenmicro.messages import NOT_RUN, Failure, Message, Outcome, Reason
from greenmicro.pipe import dumps
from greenmicro.pools.base import Job, Pool
from greenmicro.pools.children import Child
from greenmicro.pools.deadlines import GRACE_S
from greenmicro.pools.paces import Paces
from greenmicro.pools.sent import MOST_S, Done
from greenmicro.pools.setup import route_table, setup_frame
from greenmicro.pools.staff import Staff
from greenmicro.settings import Settings

logger = logging.getLogger(__name__)

#: What is given to one child before another one is woken, in seconds of work.
SLICE_S = 0.0005
#: To so many children a job is given that die before they have begun it; then it is taken for the cause.
MOST_CHILDREN = 3


class ProcessPool(Pool):
    """Runs jobs in `max_workers` child processes, one at a time in each.

    A child is sent more than one job only where jobs are short: then many go in one write, and their ends
    are told in one frame. What waits behind a job that turns out to be long is taken back.

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
        self._staff = Staff(settings, self)
        self._paces = Paces()
        self._idle: list[Child] = []
        self._busy: deque[Child] = deque()
        self._feeding = False
        self._gives_back = False
        self._unfinished = 0
        self._passed_on: Counter[int] = Counter()
        self._all_done = Event()
        self._all_done.set()

    def start(self) -> None:
        """Start all children and wait until each is ready; see the contract.

        A close() meanwhile ends the wait.
        """
        try:
            self._staff.start(setup_frame(self.settings, self._table))
        except ConfigError:
            self.close()
            raise

    def submit(self, entrypoint: Entrypoint, message: Message) -> None:
        """Let the job wait for the end of this turn of the hub's loop, with what else comes in it."""
        self._all_done.clear()
        self.pending.put(entrypoint, message)
        if not self._feeding:
            self._feeding = True
            get_hub().loop.run_callback(self._feed)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing runs and nothing waits; see the contract."""
        self._tell_if_done()
        return bool(self._all_done.wait(timeout_s))

    def give_back(self) -> None:
        """Finish as NOT_RUN what waits, with a child too as soon as it can be taken back."""
        self._gives_back = True
        super().give_back()
        for child in self._staff.all:
            child.recall()

    def interrupt(self, timeout_s: float) -> None:
        """Kill the children that are busy, with all that they have started; see the contract."""
        self._staff.shut()
        busy = [child for child in self._staff.all if child.sent.line]
        for child in busy:
            child.kill()
        gevent.wait([child.gone for child in busy], timeout=timeout_s)

    def close(self) -> None:
        """Have the children end, or kill them; see the contract."""
        self._staff.close()

    # What waits, and who takes it.

    def _feed(self) -> None:
        """Have children take what waits; runs in the hub, too."""
        self._feeding = False
        fed: dict[Child, None] = {}
        child: Child | None = None
        try:
            while (waiting := self.pending.first()) is not None:
                child = self._child_for(waiting, child)
                if child is None:
                    break
                job = self.pending.take_first()
                if job is not None and self._send(job, child):
                    fed[child] = None
        finally:  # a begin() of the user's own may raise
            for one in fed:
                one.flush()
        self._tell_if_done()  # what waited may be not ours any more

    def _child_for(self, job: Job, last: Child | None) -> Child | None:
        """Find a child that may take a job: one that is idle, or where it waits for short ones only.

        Args:
            job: The job.
            last: The child that was given one just now: a few of the shortest are not worth waking two for.
        """
        if self._staff.closed:
            return None
        expected_s, size = self._paces.expect(job.entrypoint), len(job.message.body)
        if last is not None and self._may_take(last, expected_s, size, SLICE_S):
            return last
        # With a replacement more children than slots, not all may be busy.
        if self._idle and self._staff.ready - len(self._idle) < self.settings.max_workers:
            return self._idle[-1]
        if expected_s > MOST_S:
            return None
        for _ in range(len(self._busy)):
            child = self._busy[0]
            self._busy.rotate(-1)
            if self._may_take(child, expected_s, size, MOST_S):
                return child
        return None

    def _may_take(self, child: Child, expected_s: float, size: int, most_s: float) -> bool:
        return child.sent.has_room(expected_s, size, most_s) and not self._staff.is_worn(child)

    def _send(self, job: Job, child: Child) -> bool:
        """Send a child a job; False when that cannot cross the pipe, and has failed."""
        self._unfinished += 1
        try:
            payload = dumps((self._routes[job.entrypoint], job.message[:-1]))
        except Exception as error:  # whatever a header's __reduce__ raises
            gevent.spawn(self._finish, job, Outcome.failed(Failure.of(Reason.UNREADABLE, error)))
            return False
        if not child.sent.line:
            self._idle.pop()
            self._busy.append(child)
        child.send(job, payload, self._paces.expect(job.entrypoint))
        self._staff.note_task(child)
        return True

    def _place(self, child: Child) -> None:
        """Take note that a child has fewer jobs."""
        if child.sent.line or child.lost:
            return
        if child in self._busy:
            self._busy.remove(child)
        if self._staff.is_worn(child):
            self._staff.retire(child)
        else:
            self._idle.append(child)

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
        self._staff.note_ready()
        self._idle.append(child)
        self._feed()

    def on_progress(self, child: Child, done: list[Done], unrun: list[Job]) -> None:
        """Give it its next jobs, then settle those that it has done."""
        for job, _, took_s in done:
            self._paces.note(job.entrypoint, took_s)
        if done:
            self._staff.note_use()
        child.tasks -= len(unrun)
        self._put_back(unrun)
        self._place(child)
        self._feed()
        for job, outcome, _ in done:
            self._finish(job, outcome)

    def on_gone(self, child: Child) -> None:
        """Settle or pass on what it had, and have it replaced."""
        for children in (self._idle, self._busy):
            if child in children:
                children.remove(child)
        self._staff.forget(child)
        self._let_go(child)
        self._feed()

    def _let_go(self, child: Child) -> None:
        """Settle the job of a dead child, if it has started one; others have it to thank for nothing."""
        jobs = [entry.job for entry in child.sent.line]
        if self._staff.closed:
            for job in jobs:
                self._finish(job, NOT_RUN)
            return
        running = child.sent.running
        if running is not None:
            self._put_back(jobs[1:])
            self._finish(running.job, Outcome.failed(_failure(child, running.number, running.job)))
        elif jobs and self._is_deadly(jobs[0]):
            self._put_back(jobs[1:])
            text = f'{MOST_CHILDREN} worker processes ended before they had begun it, the last one'
            failure = Failure(Reason.WORKER_LOST, f'worker lost: {text} {child.end}')
            self._finish(jobs[0], Outcome.failed(failure))
        else:
            self._put_back(jobs)

    def _is_deadly(self, job: Job) -> bool:
        """Count how many children died when it was next, as of a body that none has the memory for."""
        self._passed_on[id(job.message)] += 1
        return self._passed_on[id(job.message)] >= MOST_CHILDREN

    def _put_back(self, jobs: Sequence[Job]) -> None:
        """Let jobs wait again that were not started, or give them back with all the others."""
        for job in reversed(jobs):
            self._unfinished -= 1
            if self._gives_back:
                self.tell_outcome(job, NOT_RUN)
            else:
                self.pending.put_first(job)


def _failure(child: Child, number: int, job: Job) -> Failure:
    """Say why a job failed whose child has died."""
    timeout_s = job.entrypoint.route.timeout_s
    if child.overran != number or timeout_s is None:
        return Failure(Reason.WORKER_LOST, f'worker lost: {child.end}')
    text = f'{overrun(timeout_s)} and did not end within {GRACE_S:g} s more; its worker process was killed'
    return Failure.of(Reason.TIMEOUT, TargetTimeoutError(text))
