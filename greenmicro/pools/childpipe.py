"""ChildPipe: the service's end of the pipe to one child."""

from __future__ import annotations

import os
from collections import deque
from typing import Any

import gevent
from gevent import socket
from gevent.hub import get_hub

_READ = 1  # libev's EV_READ


class ChildPipe:
    """Whole frames out, bytes in.

    One greenlet reads it, and one writes what it does not take at once; neither is ever killed, so frames
    stay whole.
    """

    def __init__(self) -> None:
        self._socket: Any = None
        self._readable: Any = None
        self._unsent: deque[memoryview] = deque()

    def open(self) -> Any:
        """Make the pipe, and return the child's end, which is to be closed here once the child has it."""
        self._socket, theirs = socket.socketpair()
        os.set_blocking(theirs.fileno(), True)
        self._readable = get_hub().loop.io(self._socket.fileno(), _READ)
        return theirs

    def fileno(self) -> int:
        """Return the descriptor of this end."""
        number: int = self._socket.fileno()
        return number

    def receive(self, size: int) -> bytes:
        """Wait for bytes, and return so many at most; b'' when the other end is gone."""
        # Waiting first: there is nothing as a rule, since what was there was read.
        get_hub().wait(self._readable)
        try:
            return os.read(self._socket.fileno(), size)
        except OSError:
            return b''

    def write(self, data: bytes) -> None:
        """Write frames without waiting; what the pipe does not take is left to a greenlet."""
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

    def hang_up(self) -> None:
        """End what is read, though another process may hold the other end."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Release this end."""
        self._readable.close()
        self._socket.close()

    def _write_rest(self) -> None:
        while self._unsent:
            try:
                self._socket.sendall(self._unsent[0])
            except OSError:
                self._unsent.clear()
                return
            self._unsent.popleft()
