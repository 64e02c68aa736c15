"""Child: one child process as the service sees it, from its start to its end."""

from __future__ import annotations

import logging
import os
from typing import Any, Protocol

import gevent
from gevent.event import Event
from gevent.hub import get_hub

from greenmicro.pipe import Frames, Kind, frame, loads_plain
from greenmicro.pools import deadlines
from greenmicro.pools.base import Job
from greenmicro.pools.childpipe import ChildPipe
from greenmicro.pools.deadlines import Deadline
from greenmicro.pools.endings import end_of, name_of
from greenmicro.pools.looks import Looks
from greenmicro.pools.requests import Lender, Requests, call, publish
from greenmicro.pools.sent import Done, Sent
from greenmicro.pools.spawning import kill, shared_file, spawn
from greenmicro.progress import Progress

logger = logging.getLogger(__name__)

#: How long a child may still live, in seconds, after the end of its pipe or when it failed to get ready.
END_TIMEOUT_S = 0.3
#: How long, in seconds, one is waited for that was killed. It may hang in the kernel, in a dead file system.
KILL_TIMEOUT_S = 3.0
#: How long after the end of a child its pipe may stay open, in seconds: what it wrote is read till then.
#: Longer only if a process that its target forked holds the pipe.
LINGER_S = 0.05
#: How often it is looked, in seconds, at a child that has jobs waiting behind the one that it runs: it is not
#: to be a long one. They are with another child after three times that.
CROWDED_LOOK_S = 0.01


class Owner(Lender, Protocol):
    """What a child tells, and asks for; called in the child's own greenlets, on the hub."""

    def on_ready(self, child: Child) -> None:
        """It can run jobs."""

    def on_progress(self, child: Child, done: list[Done], unrun: list[Job]) -> None:
        """It has run jobs, or others were taken back that it has not started."""

    def on_gone(self, child: Child) -> None:
        """It has ended; what it still has in `sent`, its `faults` and its `end` say what that means."""


class Child:
    """One child process.

    Args:
        owner: Whom it tells.

    Attributes:
        pid: Its process id, which is its process group's too.
        sent: The jobs that it has.
        tasks: How many jobs it was sent, without those that were taken back.
        ready: Whether it has said READY.
        faults: Why it could not get ready, as it says itself.
        large: Whether it holds more memory than it may.
        overran: The number of the job whose call did not heed its time limit, and cost its life; else 0.
        lost: Whether its pipe has ended.
        end: How it ended, once it has.
        known: Set when it is ready, or it is known why it does not get ready.
        gone: Set when it has ended, was reaped, and its owner was told.
    """

    def __init__(self, owner: Owner) -> None:
        self.pid = 0
        self.tasks = 0
        self.ready = False
        self.faults: list[str] = []
        self.large = False
        self.overran = 0
        self.lost = False
        self.end = ''
        self.known = Event()
        self.gone = Event()
        self._owner = owner
        self._progress = Progress()
        self.sent = Sent(self._progress)
        self._deadline = Deadline(self._progress)
        self._pipe = ChildPipe()
        self._requests = Requests(owner, self._pipe.write)
        self._unwritten: list[bytes] = []
        self._stopped = False
        self._exited = Event()
        self._watcher: Any = None
        self._looks = Looks(self._look)

    def __repr__(self) -> str:
        return f'<Child {self.pid}{", " if self.end else ""}{self.end}>'

    def start(self, setup: bytes) -> None:
        """Start the process; it will tell whether it gets ready.

        Args:
            setup: The first frame that it is to read.

        Raises:
            OSError: The system starts no more processes.

        Runs in: the main thread, since a child is killed when the thread that started it ends.
        """
        with self._pipe.open() as theirs:
            try:
                memory = shared_file()
                try:
                    self._progress.share(memory)
                    self._spawn(theirs.fileno(), self._pipe.fileno(), memory)
                finally:
                    os.close(memory)
            except OSError:
                self._progress.leave()
                self._pipe.close()
                raise
        self._pipe.write(setup)
        gevent.spawn(self._read)

    def send(self, job: Job, payload: bytes, expected_s: float) -> None:
        """Have it run a job when it is through with those before it, once `flush` was called.

        Args:
            job: The job.
            payload: The same, pickled.
            expected_s: How long it will take, in seconds.
        """
        self.tasks += 1
        self._unwritten.append(frame(Kind.JOB, self.sent.add(job, expected_s, len(payload)), payload))

    def flush(self) -> None:
        """Write what was sent, all at once."""
        self._pipe.write(b''.join(self._unwritten))
        self._unwritten.clear()
        self._keep_looking()

    def recall(self) -> None:
        """Take back what waits behind the job that it runs; its owner is told when that is done."""
        if self.sent.is_crowded:
            self.sent.recall()
            self._looks.cancel()  # the next one may be at once, too soon for a recall
            self._keep_looking()

    def retire(self) -> None:
        """Have it end when it has done its jobs."""
        self._pipe.write(frame(Kind.END))

    def kill(self) -> None:
        """Kill it with all that it has started, unless it has ended."""
        if not self._exited.is_set():
            kill(self.pid)

    def leave(self) -> None:
        """Say that it is waited for no longer, though it was killed and has not ended."""
        text = 'worker process %d has not ended %g s after SIGKILL, and is not waited for any longer'
        logger.error(text, self.pid, KILL_TIMEOUT_S)

    # Its process.

    def _spawn(self, theirs: int, ours: int, memory: int) -> None:
        loop = get_hub().loop
        loop.install_sigchld()
        self.pid = spawn(theirs, ours, memory)
        # With no switch in between, or the loop reaps it unseen.
        self._watcher = loop.child(self.pid, True)
        self._watcher.start(self._on_status)

    def _on_status(self) -> None:
        """Take note that it has ended, was stopped, or goes on; runs in the hub."""
        status = self._watcher.rstatus
        if os.WIFSTOPPED(status):
            self._stopped = True
            gevent.spawn(self._heed_stop, name_of(os.WSTOPSIG(status)))
        elif os.WIFCONTINUED(status):
            self._stopped = False
            self._deadline.resume()
        else:
            self._on_exit(os.waitstatus_to_exitcode(status))

    def _heed_stop(self, name: str) -> None:
        """See to it that no message waits for ever for a process that was stopped, as by SIGSTOP."""
        if not self._stopped or self.lost:
            return
        self._tell_progress()
        running = self.sent.running
        if running is None:
            # It takes nothing up, and has nothing to lose.
            self.end = f'stopped by {name} while it was idle, and killed'
            kill(self.pid)
        elif running.job.entrypoint.route.timeout_s is None:
            logger.warning(
                'worker process %d was stopped by %s while it runs %r; its route has no timeout_s, so it is '
                'waited for until SIGCONT or SIGKILL',
                *(self.pid, name, running.job.message),
            )
        else:
            self._deadline.suspend()

    def _on_exit(self, code: int) -> None:
        self._watcher.stop()
        self._watcher.close()
        self.end = self.end or end_of(code)
        kill(self.pid)  # what it has started
        self._exited.set()
        gevent.spawn_later(LINGER_S, self._pipe.hang_up)

    def _bury(self) -> None:
        self.lost = True
        if not self._exited.wait(END_TIMEOUT_S):
            self.end = 'closed its pipe, and was killed'
            kill(self.pid)
            if not self._exited.wait(KILL_TIMEOUT_S):
                self.leave()
        self._tell_progress()
        self._looks.cancel()
        self._pipe.close()
        self._owner.on_gone(self)
        self._progress.leave()
        self.known.set()
        self.gone.set()

    # What it says.

    def _read(self) -> None:
        frames = Frames()
        try:
            while data := self._pipe.receive(frames.wanted):
                for received in frames.cut(data):
                    self._take(*received)
                self._tell_progress()
        except Exception:
            # Such as what a target wrote to a descriptor that is not its own.
            logger.exception('worker process %d is killed: it sent what cannot be read', self.pid)
            self.kill()
        self._bury()

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        if kind == Kind.DONE:
            if payload:
                self.sent.tell(number, payload)
        elif kind == Kind.REQUEST:
            self._requests.take(number, payload, publish)
        elif kind == Kind.CALL:
            self._requests.take(number, payload, call)
        elif kind == Kind.LARGE:
            self.large = True
        elif kind == Kind.READY:
            self.ready = True
            self._owner.on_ready(self)
            self.known.set()
        elif kind == Kind.FAILED:
            self.faults = loads_plain(payload)
            self.known.set()
            # It ends by itself, unless main.py has left a thread that does not.
            gevent.spawn_later(END_TIMEOUT_S, self.kill)
        else:
            raise ValueError(f'no kind of frame: {kind}')

    def _tell_progress(self) -> None:
        done, unrun = self.sent.collect()
        if done or unrun:
            self._owner.on_progress(self, done, unrun)

    # What it does not say.

    def _keep_looking(self) -> None:
        if self.sent.is_crowded:
            self._looks.within(CROWDED_LOOK_S)
        elif self.sent.line and self.sent.line[0].job.entrypoint.route.timeout_s is not None:
            self._looks.within(deadlines.LOOK_S)

    def _look(self) -> None:
        """Look how far it is: whether a call goes on for too long, or jobs wait behind a long one."""
        if self.lost:
            return  # its owner has been told, or is about to be, what it still has
        self._tell_progress()
        back = self.sent.look()
        if back:
            self._owner.on_progress(self, [], back)
        running = self.sent.running
        limit_s = None if running is None else running.job.entrypoint.route.timeout_s
        if running is not None and limit_s is not None and self._deadline.is_over(limit_s):
            self.overran = running.number
            self.end = 'killed at its time limit'
            kill(self.pid)
        else:
            self._keep_looking()
