"""ServicePipe: the child's end of the pipe to the service, shared by all threads of the child."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, NoReturn, TypeVar

from greenmicro import errors
from greenmicro.messages import Call, Publication, Reply
from greenmicro.pipe import Frame, Frames, Kind, Setup, dumps, frame, loads

Result = TypeVar('Result')
#: An answer of so many fields is an error: its class and its text.
ERROR_FIELDS = 2


class ServicePipe:
    """The child's end: whole frames out, jobs and answers in, from any thread.

    There is no thread that only reads, since a hand-over between threads costs 10 to 30 us a job: whoever
    waits for something reads, and passes on what is for others. When the parent is gone the process ends.

    A target gets here to publish. A signal handler that is to raise into it has to wait while `is_in_use`:
    what it cut in two would be lost, and the stream with it.

    Args:
        fd: The socket's descriptor, in blocking mode.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._frames = Frames()
        self._lock = threading.Lock()
        self._turn = threading.Condition(threading.Lock())
        self._reading = False
        self._jobs: deque[Frame] = deque()
        self._ended = False
        self._answers: dict[int, list[bytes]] = {}
        self._numbers = count(1)
        self._main = threading.get_ident()
        self._in_use = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def setup(self) -> Setup:
        """Read what the parent tells first."""
        while not (frames := self._receive()):
            pass
        [(kind, _, payload)] = frames
        assert kind == Kind.SETUP, kind
        setup: Setup = loads(payload)
        return setup

    def write(self, kind: int, number: int = 0, payload: bytes = b'') -> None:
        """Write a frame; frames of several threads do not mix."""
        data = frame(kind, number, payload)
        with self._lock:
            try:
                written = os.write(self._fd, data)
                while written < len(data):
                    written += os.write(self._fd, memoryview(data)[written:])
            except OSError:
                _end()

    def has_job(self) -> bool:
        """Say whether the next job is here; if not, it has to be waited for."""
        return bool(self._jobs)

    def next_job(self) -> Frame | None:
        """Wait for the next job; None when there will be no more."""
        if not self._jobs:
            self._wait(lambda: bool(self._jobs) or self._ended)
        return self._jobs.popleft() if self._jobs else None

    def is_in_use(self) -> bool:
        """Say whether the main thread is publishing, in a place where nothing may be raised into it."""
        return self._in_use

    def publish(self, publication: Publication) -> None:
        """Have the parent publish; returns when the broker has confirmed.

        Raises:
            PublishError: The message is not known to be safe with the broker.

        Runs in: any thread of the child.
        """
        self._alone(lambda: self.wait_for(self._ask(Kind.REQUEST, tuple(publication))))

    def begin_call(self, call: Call) -> PendingAnswer:
        """Have the parent call another service; returns at once, and the reply is waited for.

        Raises:
            PublishError: The request cannot leave the worker process.

        Runs in: any thread of the child.
        """
        request = (tuple(call.publication), call.timeout_s)
        return PendingAnswer(self, self._alone(lambda: self._ask(Kind.CALL, request)), call)

    def wait_for(self, answer: list[bytes], timeout_s: float | None = None) -> tuple[Any, ...] | None:
        """Return what the parent answered, () for a mere yes; None if it has not within the time.

        Raises:
            GreenmicroError: As the parent met it.
        """
        if not self._wait(lambda: bool(answer), timeout_s):
            return None
        told: tuple[Any, ...] = loads(answer[0]) if answer[0] else ()
        if len(told) == ERROR_FIELDS:
            raise _error(*told)
        return told

    def alone(self, answer: list[bytes], timeout_s: float | None) -> tuple[Any, ...] | None:
        """Wait for an answer where nothing may be raised into what is read."""
        return self._alone(lambda: self.wait_for(answer, timeout_s))

    def _alone(self, act: Callable[[], Result]) -> Result:
        """Do something on the pipe; to the main thread a time limit may raise only where it does no harm."""
        if threading.get_ident() != self._main:
            return act()
        self._in_use = True
        try:
            return act()
        finally:
            self._in_use = False

    def _ask(self, kind: int, request: tuple[Any, ...]) -> list[bytes]:
        """Write a request; returns where its answer will be."""
        if self._fd < 0:
            raise errors.PublishError('a process that was forked by a target cannot publish')
        try:
            payload = dumps(request)
        except Exception as error:  # whatever a value's __reduce__ raises
            raise errors.PublishError(
                f'a header or property cannot leave the worker process: {error}'
            ) from error
        number = next(self._numbers)
        answer = self._answers[number] = []
        self.write(kind, number, payload)
        return answer

    def leave(self) -> None:
        """Give the pipe up in a process that was forked by a target; its parent goes on with it."""
        os.close(self._fd)
        self._fd = -1
        self._jobs.clear()
        # Held by a thread that does not exist here.
        self._lock = threading.Lock()
        self._turn = threading.Condition(threading.Lock())
        self._reading = False

    def _wait(self, is_here: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Return when something is here, which this thread or another one has read; False after the time."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._turn:
            while not is_here():
                left_s = None if deadline is None else deadline - time.monotonic()
                if left_s is not None and left_s <= 0:
                    return False
                if self._reading:
                    self._turn.wait(left_s)
                    continue
                self._reading = True
                self._turn.release()
                frames: list[Frame] = []
                try:
                    if self._has_data(left_s):
                        frames = self._receive()
                finally:
                    self._turn.acquire()
                    self._reading = False
                    # Also when it was for this thread: somebody has to read on.
                    self._turn.notify_all()
                for received in frames:
                    self._sort(received)
        return True

    def _has_data(self, timeout_s: float | None) -> bool:
        """Wait until there is something to read, if it is not simply to be read; False after the time."""
        if self._in_use and threading.get_ident() == self._main:
            return self._pause(timeout_s)
        return timeout_s is None or bool(self._poll.poll(timeout_s * 1000))

    def _pause(self, timeout_s: float | None) -> bool:
        """Wait until there is something to read; here a time limit may raise, since nothing is taken out."""
        self._in_use = False
        try:
            return bool(self._poll.poll(None if timeout_s is None else timeout_s * 1000))
        finally:
            self._in_use = True

    def _sort(self, received: Frame) -> None:
        kind, number, payload = received
        if kind == Kind.JOB:
            self._jobs.append(received)
        elif kind == Kind.ANSWER:
            self._answers.pop(number).append(payload)
        elif kind == Kind.END:
            self._ended = True

    def _receive(self) -> list[Frame]:
        """Read what is there, which need not be a whole frame; wait until there is something."""
        try:
            data = os.read(self._fd, self._frames.wanted)
        except OSError:
            data = b''
        return self._frames.cut(data) if data else _end()


class PendingAnswer:
    """Waits for the reply to a call; see the contract of dependencies."""

    def __init__(self, pipe: ServicePipe, answer: list[bytes], call: Call) -> None:
        self._pipe = pipe
        self._answer = answer
        self._call = call

    def wait(self, timeout_s: float | None = None) -> Reply:
        """Return the reply; the parent minds the call's own time."""
        fields = self._pipe.alone(self._answer, timeout_s)
        if fields is None:
            text = f'{self._call.publication.routing_key}: no reply within {timeout_s:g} s'
            raise errors.CallTimeoutError(text)
        return Reply(*fields)


def _end() -> NoReturn:
    """End the process, whatever its threads do: nobody is left to tell anything to."""
    os._exit(1)


def _error(name: str, text: str) -> Exception:
    """Make the error that the parent met again; one that is not ours becomes a PublishError."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, errors.GreenmicroError):
        return kind(text)
    return errors.PublishError(f'{name}: {text}')
