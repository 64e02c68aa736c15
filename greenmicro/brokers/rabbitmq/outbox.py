"""Outbox: all writes of one connection, in order, by one greenlet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent
from amqp.exceptions import RecoverableConnectionError
from gevent.event import Event

#: Asked for its bytes right before they are written.
Source = Callable[[], bytes]


class Outbox:
    """All writes of one connection, in order, by one greenlet that is never killed or timed.

    A greenlet that is killed while it writes leaves half a frame, and the connection corrupt without a
    sign of it [348 publishes "succeeded" after one]. So callers only append; the writer sends.

    Args:
        sock: The connected socket.
        on_lost: Called with the error when it cannot be written to any more.

    Attributes:
        last_sent: When something was last sent, by the monotonic clock.
    """

    def __init__(self, sock: Any, on_lost: Callable[[Exception], None]) -> None:
        self._sock = sock
        self._on_lost = on_lost
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
        self._items.append(data)
        self._wanted.set()

    def write_from(self, source: Source) -> None:
        """Have a source asked for its bytes once, right before the next write.

        What it collects until then, acks above all, goes out in one piece. It keeps its place between
        what others write: acks that went after the close of their channel would not count.
        """
        if self._closed is None:
            self._items.append(source)
            self._wanted.set()

    def close(self, error: Exception) -> None:
        """Send nothing any more; the writer ends."""
        if self._closed is None:
            self._closed = error
            self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._closed is not None:
                return
            self._wanted.clear()
            try:
                self._sock.sendall(self._collect())
            except OSError as error:
                self._on_lost(error)
                return
            self.last_sent = time.monotonic()

    def _collect(self) -> bytes:
        items, self._items = self._items, []
        return b''.join([item if isinstance(item, bytes) else item() for item in items])
