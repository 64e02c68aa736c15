"""What crosses the pipe between the service and a child, and how it is cut into frames.

A frame is a length, a kind, a number and a payload, which is empty or a pickle. Both ends are our own
processes: what a peer sent crosses as bytes and is never unpickled. In the parent only classes of the
standard library are unpickled (`loads_plain`), so that no child makes it import what a target imports.
"""

from __future__ import annotations

import io
import pickle
import sys
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

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
    ANSWER = 3  # empty for a confirm, fields of the Reply, or (name of the error's class, text)
    END = 4  # empty
    # From the child.
    READY = 11  # empty
    FAILED = 12  # list of faults
    DONE = 13  # empty when Progress says it all, else (ran, fields of the Failure or None, result)
    REQUEST = 14  # fields of the Publication
    CALL = 16  # (fields of the Publication, how long to wait for the reply in seconds)
    LARGE = 15  # empty; the child holds more memory than it may, and starts nothing any more


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
        entrypoint: Itself, where its class maps the arguments or the result; else None.
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
    """Cuts what is received into frames."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._needed = _HEADER.size

    @property
    def wanted(self) -> int:
        """How many bytes to receive next, at most."""
        return min(max(self._needed - self._size, CHUNK), LARGE_CHUNK)

    def cut(self, data: bytes) -> list[Frame]:
        """Take some bytes, and return all frames that are whole by now."""
        self._pieces.append(data)
        self._size += len(data)
        if self._size < self._needed:
            return []  # not joined each time: a body of 20 MB comes in a hundred pieces
        data = b''.join(self._pieces)
        frames = []
        begin = payload = end = 0
        while (payload := begin + _HEADER.size) <= len(data):
            size, kind, number = _HEADER.unpack_from(data, begin)
            end = payload + size
            if end > len(data):
                break
            frames.append((kind, number, data[payload:end]))
            begin = end
        self._pieces = [data[begin:]]
        self._size = len(data) - begin
        self._needed = max(end, payload) - begin
        return frames


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
