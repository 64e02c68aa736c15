"""What crosses the pipe between the service and a child, and the child's end of it.

A frame is a length, a kind, a number and a payload, which is empty or a pickle. Both ends are our own
processes: what a peer sent crosses as bytes and is never unpickled. In the parent only classes of the
standard library are unpickled (`loads_plain`), so that no child makes it import what a target imports.
"""

from __future__ import annotations

import io
import os
import pickle
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from greenmicro import errors
from greenmicro.messages import Publication

if TYPE_CHECKING:
    from greenmicro.entrypoints import Entrypoint
    from greenmicro.routes import Route
    from greenmicro.settings import Settings

PICKLE_PROTOCOL = 5
#: So much is read at once, in bytes; of a longer frame more.
CHUNK = 65_536
LARGE_CHUNK = 1_048_576

#: Length of the payload, kind, number; the number is the job's or the request's, where there is one.
_HEADER = Struct('>IBQ')
LONGEST_PAYLOAD = 2**32 - 1


class Kind:
    """What a frame is; the comment says which payload it carries."""

    # From the parent.
    SETUP = 1  # Setup
    JOB = 2  # (number of the route, fields of the Message without `delivery`)
    ANSWER = 3  # empty when the publication is confirmed, else (name of the error's class, text)
    END = 4  # empty
    # From the child.
    READY = 11  # empty
    FAILED = 12  # list of faults
    STARTED = 13  # empty
    DONE = 14  # empty when the outcome is SUCCEEDED, else (ran, fields of the Failure or None, result)
    REQUEST = 15  # fields of the Publication
    CALLING = 16  # empty; the target's call begins, and its time limit
    CALLED = 17  # empty; it has ended
    LARGE = 18  # empty; the child holds more memory than it may


class Setup(NamedTuple):
    """What a child is told first, and once.

    Attributes:
        path: The parent's `sys.path`.
        argv: The parent's `sys.argv`, which main.py may read.
        main: How to run the parent's main module, `('module', name)` or `('path', file)`; None for none.
        settings: The service's settings.
        table: The pickled route table; unpickled when main.py has run, as it names classes of it.
    """

    path: list[str]
    argv: list[str]
    main: tuple[str, str] | None
    settings: Settings
    table: bytes


class Row(NamedTuple):
    """One entrypoint, as far as a child has to know it; the route table is a list of them.

    Attributes:
        route: Its route.
        name: Its name, for the WorkerContext.
        entrypoint: Itself, where its class maps the arguments; else None.
        replies: Whether somebody waits for the result.
    """

    route: Route
    name: str
    entrypoint: Entrypoint | None
    replies: bool


#: A received frame: kind, number, payload.
Frame = tuple[int, int, bytes]


def frame(kind: int, number: int = 0, payload: bytes = b'') -> bytes:
    """Pack a frame.

    Raises:
        ValueError: The payload is longer than a frame can be (4 GiB).
    """
    if len(payload) > LONGEST_PAYLOAD:
        raise ValueError(f'{len(payload)} bytes are too many for the pipe to a child')
    return _HEADER.pack(len(payload), kind, number) + payload


class Frames:
    """Cuts what is received into frames.

    Args:
        receive: Returns some of the next bytes, at most so many; b'' at the end.
    """

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._data = b''
        self._at = 0

    @property
    def begun(self) -> bool:
        """Whether a part of the next frame, or all of it, was received."""
        return self._at < len(self._data)

    def read(self) -> Frame | None:
        """Return the next frame; None when the other end is gone, even in the middle of a frame."""
        while True:
            begin = self._at + _HEADER.size
            missing = begin - len(self._data)
            if missing <= 0:
                size, kind, number = _HEADER.unpack_from(self._data, self._at)
                end = begin + size
                missing = end - len(self._data)
                if missing <= 0:
                    self._at = end
                    return kind, number, self._data[begin:end]
            if not self._fill(missing):
                return None

    def _fill(self, missing: int) -> bool:
        # Joined once: a body of 20 MB comes in a hundred pieces.
        pieces = [self._data[self._at :]]
        while missing > 0:
            piece = self._receive(min(max(missing, CHUNK), LARGE_CHUNK))
            if not piece:
                return False
            pieces.append(piece)
            missing -= len(piece)
        self._data = b''.join(pieces)
        self._at = 0
        return True


def dumps(value: Any) -> bytes:
    """Pickle a payload."""
    return pickle.dumps(value, PICKLE_PROTOCOL)


loads = pickle.loads


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.partition('.')[0] in sys.stdlib_module_names:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f'a {module}.{name} cannot leave a worker process; send plain values')


def loads_plain(payload: bytes) -> Any:
    """Unpickle what a child sent, without importing anything of the user's.

    Raises:
        pickle.UnpicklingError: It holds something else than values of the standard library.
    """
    return _PlainUnpickler(io.BytesIO(payload)).load()


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
        self._frames = Frames(partial(os.read, fd))
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
        received = self._receive()
        assert received[0] == Kind.SETUP, received[0]
        setup: Setup = loads(received[2])
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

    def next_job(self) -> Frame | None:
        """Wait for the next job; None when there will be no more."""
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
        self._frames = Frames(partial(os.read, -1))
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
                    received = self._receive()
                finally:
                    self._turn.acquire()
                    self._reading = False
                    # Also when it was for this thread: somebody has to read on.
                    self._turn.notify_all()
                self._sort(received)

    def _pause(self) -> None:
        """Wait until there is something to read; here a time limit may raise, since nothing is taken out."""
        if self._frames.begun:
            return
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

    def _receive(self) -> Frame:
        try:
            received = self._frames.read()
        except OSError:
            received = None
        return received or _end()


def _end() -> NoReturn:
    """End the process, whatever its threads do: nobody is left to tell anything to."""
    os._exit(1)


def _error(name: str, text: str) -> Exception:
    """Make the error that the parent met again; one that is not ours becomes a PublishError."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, errors.GreenmicroError):
        return kind(text)
    return errors.PublishError(f'{name}: {text}')
