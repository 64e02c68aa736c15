"""Outbox: all writes of one connection, in order, by one greenlet, with heartbeats of a thread in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent
from amqp.exceptions import RecoverableConnectionError
from gevent import monkey
from gevent.event import Event

#: When so many writes wait for the writer, and the last has at most so many bytes, they are sent without it.
MANY = 32
SMALL = 4_096

#: Asked for its bytes right before they are written.
Source = Callable[[], bytes]


class Outbox:
    """All writes of one connection, in order, by one greenlet that is never killed or timed.

    A greenlet that is killed while it writes leaves half a frame, and the connection corrupt without a
    sign of it [348 publishes "succeeded" after one]. So callers only append, and the writer sends; of many
    small writes the caller sends what the socket takes at once.

    The turn, a lock of the system's own, is held while a frame may be half-written; it costs 0.1 us a write.
    The writer waits for it, for as long as eight bytes take: a thread that finds it held goes away. Once the
    connection is given up nobody gets it any more, so that no thread writes to what a number stands for next.

    Args:
        transport: The owner of the connected socket.
        on_lost: Called with the error when it cannot be written to any more.

    Attributes:
        last_sent: When something was last sent, by the monotonic clock.
    """

    def __init__(self, transport: Any, on_lost: Callable[[Exception], None]) -> None:
        self._send_all = transport.sock.sendall
        self._send_now = transport.send_now
        self._on_lost = on_lost
        self._turn: Any = monkey.get_original('_thread', 'allocate_lock')()
        self._writing = False
        self._rest = b''  # of what the thread could not write whole; it goes before all else
        self._items: list[bytes | Source] = []
        self._wanted = Event()
        self._closed: Exception | None = None
        self.last_sent = time.monotonic()
        gevent.spawn(self._run)

    def write(self, data: bytes) -> None:
        """Have bytes sent; they are whole frames, and those of one message in one call.

        Raises:
            RecoverableConnectionError: The connection is lost.
        """
        if self._closed is not None:
            raise RecoverableConnectionError(f'connection lost: {self._closed}')
        self._add(data)
        if len(self._items) >= MANY and len(data) <= SMALL:
            self._send_what_fits()

    def _send_what_fits(self) -> None:
        """Send what waits as far as there is room, so that the broker has work meanwhile.

        The writer's turn would come after all those who are about to write: of 100 that publish that made 12
        percent fewer a second. It never waits, so a greenlet that is killed or timed cannot break it off.
        """
        if not self._turn.acquire(False):
            return
        try:
            if not self._rest:  # else there is no room, and joining what waits each time would take long
                self._rest = self._collect()
                self._rest = self._rest[self._send_now(self._rest) :]
                self.last_sent = time.monotonic()
        except OSError:
            pass  # the writer, or the reader, hears of it too and says so
        finally:
            self._turn.release()

    def write_from(self, source: Source) -> None:
        """Have a source asked for its bytes once, right before the next write.

        What it collects until then, acks above all, goes out in one piece. It keeps its place between
        what others write: acks that went after the close of their channel would not count.
        """
        if self._closed is None:
            self._add(source)

    def write_now(self, data: bytes) -> None:
        """Send a small frame at once, unless another is half-written or there is no room for it.

        Runs in: any thread; it never waits.
        """
        if not self._turn.acquire(False):
            return
        try:
            data = self._rest or data
            self._rest = data  # TLS may have taken it, and be short of room for it: then it wants it again
            sent = self._send_now(data)
            self._rest = data[sent:]
            if sent:
                self.last_sent = time.monotonic()
        except OSError:
            pass  # the reader hears of it too, and says so
        finally:
            self._turn.release()

    def close(self, error: Exception) -> None:
        """Send nothing any more; the writer ends."""
        if self._closed is None:
            self._closed = error
            self._wanted.set()
            if not self._writing:
                self._turn.acquire()

    def _add(self, item: bytes | Source) -> None:
        if not self._items:  # else the writer has been told
            self._wanted.set()
        self._items.append(item)

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._closed is not None:
                return
            self._wanted.clear()
            self._turn.acquire()
            self._writing = True
            data = self._collect()
            if self._rest:
                data, self._rest = self._rest + data, b''
            try:
                if data:  # else it was sent without us
                    self._send_all(data)
            except OSError as error:
                self._on_lost(error)
                return
            if self._closed is not None:
                return
            self._writing = False
            self._turn.release()
            self.last_sent = time.monotonic()

    def _collect(self) -> bytes:
        items, self._items = self._items, []
        return b''.join([item if isinstance(item, bytes) else item() for item in items])
