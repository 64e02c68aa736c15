"""Child: one child process as the service sees it, from its start to its end."""

from __future__ import annotations

import logging
import os
from collections import deque
from typing import Any, Protocol

import gevent
from gevent import socket
from gevent.event import Event
from gevent.hub import get_hub

from greenmicro.messages import SUCCEEDED, Failure, Outcome, Publication, Reason
from greenmicro.pipe import Frames, Kind, dumps, frame, loads_plain
from greenmicro.pools.base import Job
from greenmicro.pools.deadlines import READ_S, Deadline
from greenmicro.pools.endings import end_of, name_of
from greenmicro.pools.spawning import kill, spawn

logger = logging.getLogger(__name__)

#: How long a child may still live, in seconds, after the end of its pipe or when it failed to get ready.
END_TIMEOUT_S = 0.3
#: How long, in seconds, one is waited for that was killed. It may hang in the kernel, in a dead file system.
KILL_TIMEOUT_S = 3.0
#: How long after the end of a child its pipe may stay open, in seconds: what it wrote is read till then.
#: Longer only if a process that its target forked holds the pipe.
LINGER_S = 0.05


class Owner(Protocol):
    """What a child tells; called in the child's own greenlets, on the hub."""

    def on_ready(self, child: Child) -> None:
        """It can run jobs."""

    def on_done(self, child: Child, job: Job, outcome: Outcome) -> None:
        """It has run a job."""

    def on_gone(self, child: Child) -> None:
        """It has ended; its `jobs`, `started`, `faults` and `end` say what that means."""

    def publish(self, publication: Publication) -> None:
        """Publish for it, and return when that is confirmed."""


class Child:
    """One child process.

    One greenlet reads its pipe, and one writes what the pipe does not take at once; neither is ever
    killed, so frames stay whole.

    Args:
        owner: Whom it tells.

    Attributes:
        pid: Its process id, which is its process group's too.
        jobs: What was sent and is not done, by number.
        started: The number of the job that it runs, or ran last.
        tasks: How many jobs it was sent.
        ready: Whether it has said READY.
        faults: Why it could not get ready, as it says itself.
        large: Whether it holds more memory than it may.
        overran: The number of the job whose call did not heed its time limit, and cost its life; else 0.
        end: How it ended, once it has.
        known: Set when it is ready, or it is known why it does not get ready.
        gone: Set when it has ended, was reaped, and its owner was told.
    """

    def __init__(self, owner: Owner) -> None:
        self.pid = 0
        self.jobs: dict[int, Job] = {}
        self.started = 0
        self.tasks = 0
        self.ready = False
        self.faults: list[str] = []
        self.large = False
        self.overran = 0
        self.end = ''
        self.known = Event()
        self.gone = Event()
        self._owner = owner
        self._deadline = Deadline(self._overrun)
        self._stopped = False
        self._exited = Event()
        self._unsent: deque[memoryview] = deque()
        self._socket: Any = None
        self._watcher: Any = None

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
        self._socket, theirs = socket.socketpair()
        with theirs:
            os.set_blocking(theirs.fileno(), True)
            try:
                self._spawn(theirs.fileno(), self._socket.fileno())
            except OSError:
                self._socket.close()
                raise
        self._write(setup)
        gevent.spawn(self._read)

    def send(self, job: Job, payload: bytes) -> None:
        """Have it run a job.

        Args:
            job: The job.
            payload: The same, pickled.
        """
        self.tasks += 1
        self.jobs[self.tasks] = job
        self._write(frame(Kind.JOB, self.tasks, payload))

    def retire(self) -> None:
        """Have it end when it has done its jobs."""
        self._write(frame(Kind.END))

    def kill(self) -> None:
        """Kill it with all that it has started, unless it has ended."""
        if not self._exited.is_set():
            kill(self.pid)

    def leave(self) -> None:
        """Say that it is waited for no longer, though it was killed and has not ended."""
        text = 'worker process %d has not ended %g s after SIGKILL, and is not waited for any longer'
        logger.error(text, self.pid, KILL_TIMEOUT_S)

    def _spawn(self, theirs: int, ours: int) -> None:
        loop = get_hub().loop
        loop.install_sigchld()
        self.pid = spawn(theirs, ours)
        # With no switch in between, or the loop reaps it unseen.
        self._watcher = loop.child(self.pid, True)
        self._watcher.start(self._on_status)

    def _on_status(self) -> None:
        """Take note that it has ended, was stopped, or goes on; runs in the hub."""
        status = self._watcher.rstatus
        if os.WIFSTOPPED(status):
            self._stopped = True
            # What it said before is read first.
            gevent.spawn_later(READ_S, self._heed_stop, name_of(os.WSTOPSIG(status)))
        elif os.WIFCONTINUED(status):
            self._stopped = False
            self._deadline.resume()
        else:
            self._on_exit(os.waitstatus_to_exitcode(status))

    def _heed_stop(self, name: str) -> None:
        """See to it that no message waits for ever for a process that was stopped, as by SIGSTOP."""
        if not self._stopped or self._exited.is_set():
            return
        job = self.jobs.get(self.started)
        if job is None:
            # It takes nothing up, and has nothing to lose.
            self.end = f'stopped by {name} while it was idle, and killed'
            kill(self.pid)
        elif job.entrypoint.route.timeout_s is None:
            logger.warning(
                'worker process %d was stopped by %s while it runs %r; its route has no timeout_s, so it is '
                'waited for until SIGCONT or SIGKILL',
                *(self.pid, name, job.message),
            )
        else:
            self._deadline.suspend(job.entrypoint.route.timeout_s)

    def _on_exit(self, code: int) -> None:
        self._watcher.stop()
        self._watcher.close()
        self.end = self.end or end_of(code)
        kill(self.pid)  # what it has started
        self._exited.set()
        gevent.spawn_later(LINGER_S, self._hang_up)

    def _hang_up(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _read(self) -> None:
        frames = Frames(self._receive)
        try:
            while (received := frames.read()) is not None:
                self._take(*received)
        except Exception:
            # Such as what a target wrote to a descriptor that is not its own.
            logger.exception('worker process %d is killed: it sent what cannot be read', self.pid)
            self.kill()
        self._bury()

    def _receive(self, size: int) -> bytes:
        try:
            data: bytes = self._socket.recv(size)
        except OSError:
            return b''
        return data

    def _take(self, kind: int, number: int, payload: bytes) -> None:
        if kind == Kind.DONE:
            outcome = _outcome(payload) if payload else SUCCEEDED
            self._owner.on_done(self, self.jobs.pop(number), outcome)
        elif kind == Kind.STARTED:
            self.started = number
        elif kind == Kind.REQUEST:
            gevent.spawn(self._publish, number, payload)
        elif kind == Kind.CALLING:
            self._watch(self.jobs[number])
        elif kind == Kind.CALLED:
            self._deadline.stop()
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

    def _watch(self, job: Job) -> None:
        """Kill it if the call that it begins goes on for too long."""
        if job.entrypoint.route.timeout_s is not None:
            self._deadline.start(job.entrypoint.route.timeout_s)

    def _overrun(self) -> None:
        self.overran = self.started
        self.end = 'killed at its time limit'
        kill(self.pid)

    def _publish(self, number: int, payload: bytes) -> None:
        """Publish for a target; in a greenlet of its own, as its threads may publish at the same time."""
        answer = b''
        try:
            self._owner.publish(Publication(*loads_plain(payload)))
        except Exception as error:
            answer = dumps((type(error).__name__, str(error)))
        self._write(frame(Kind.ANSWER, number, answer))

    def _bury(self) -> None:
        self._deadline.stop()
        if not self._exited.wait(END_TIMEOUT_S):
            self.end = 'closed its pipe, and was killed'
            kill(self.pid)
            if not self._exited.wait(KILL_TIMEOUT_S):
                self.leave()
        self._socket.close()
        self._owner.on_gone(self)
        self.known.set()
        self.gone.set()

    def _write(self, data: bytes) -> None:
        """Write a frame without waiting; what the pipe does not take is left to a greenlet."""
        if self._unsent:
            self._unsent.append(memoryview(data))
            return
        try:
            written = os.write(self._socket.fileno(), data)
        except BlockingIOError:
            written = 0
        except OSError:
            return  # it has ended; the reader will see
        if written < len(data):
            self._unsent.append(memoryview(data)[written:])
            gevent.spawn(self._write_rest)

    def _write_rest(self) -> None:
        while self._unsent:
            try:
                self._socket.sendall(self._unsent[0])
            except OSError:
                self._unsent.clear()
                return
            self._unsent.popleft()


def _outcome(payload: bytes) -> Outcome:
    try:
        ran, failure, result = loads_plain(payload)
    except Exception as error:
        return Outcome.failed(Failure.of(Reason.RESULT, error))
    return Outcome(ran, None if failure is None else Failure(*failure), result)
