"""ServicePipe: the child's end of the pipe to the service, shared by all threads of the child."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import NoReturn

from greenmicro import errors
from greenmicro.messages import Publication
from greenmicro.pipe import Frame, Frames, Kind, Setup, dumps, frame, loads


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
        if self._fd < 0:
            raise errors.PublishError('a process that was forked by a target cannot publish')
        try:
            payload = dumps(tuple(publication))
        except Exception as error:  # whatever a value's __reduce__ raises
            raise errors.PublishError(
                f'a header or property cannot leave the worker process: {error}'
            ) from error
        number = next(self._numbers)
        answer = self._answers[number] = []
        if threading.get_ident() == self._main:
            self._in_use = True
            try:
                self._ask(number, payload, answer)
            finally:
                self._in_use = False
        else:
            self._ask(number, payload, answer)
        if answer[0]:
            raise _error(*loads(answer[0]))

    def _ask(self, number: int, payload: bytes, answer: list[bytes]) -> None:
        self.write(Kind.REQUEST, number, payload)
        self._wait(lambda: bool(answer))

    def leave(self) -> None:
        """Give the pipe up in a process that was forked by a target; its parent goes on with it."""
        os.close(self._fd)
        self._fd = -1
        self._jobs.clear()
        # Held by a thread that does not exist here.
        self._lock = threading.Lock()
        self._turn = threading.Condition(threading.Lock())
        self._reading = False

    def _wait(self, is_here: Callable[[], bool]) -> None:
        """Return when something is here, which this thread or another one has read."""
        with self._turn:
            while not is_here():
                if self._reading:
                    self._turn.wait()
                    continue
                self._reading = True
                self._turn.release()
                try:
                    if self._in_use and threading.get_ident() == self._main:
                        self._pause()
                    frames = self._receive()
                finally:
                    self._turn.acquire()
                    self._reading = False
                    # Also when it was for this thread: somebody has to read on.
                    self._turn.notify_all()
                for received in frames:
                    self._sort(received)

    def _pause(self) -> None:
        """Wait until there is something to read; here a time limit may raise, since nothing is taken out."""
        self._in_use = False
        try:
            self._poll.poll()
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


def _end() -> NoReturn:
    """End the process, whatever its threads do: nobody is left to tell anything to."""
    os._exit(1)


def _error(name: str, text: str) -> Exception:
    """Make the error that the parent met again; one that is not ours becomes a PublishError."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, errors.GreenmicroError):
        return kind(text)
    return errors.PublishError(f'{name}: {text}')
