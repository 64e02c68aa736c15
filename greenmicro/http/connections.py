"""Connections: all clients that are connected, each held to its time, and ended at a stop."""

from __future__ import annotations

from time import monotonic
from typing import Protocol

import gevent
from gevent.event import Event

#: How often it is looked who is over time, in seconds: a timer for each read would cost every request two.
LOOK_S = 1.0


class Client(Protocol):
    """A connection, as far as its time and its end go.

    Attributes:
        deadline: When it is ended unless something happens, by the monotonic clock.
        answering: Whether a request has been read to the end of its headers and its answer is not out.
    """

    deadline: float
    answering: bool

    def end(self) -> None:
        """End the connection, whatever it waits for."""


class Connections:
    """All connections that are open.

    Attributes:
        stopping: Whether each ends with the answer that it waits for.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._open: set[Client] = set()
        self._answered = Event()
        self._looking: gevent.Greenlet[..., None] | None = None

    def start(self) -> None:
        """Begin to look who is over time."""
        self._looking = gevent.spawn(self._look)

    def enter(self, connection: Client) -> None:
        """Know of a connection."""
        self._open.add(connection)

    def leave(self, connection: Client) -> None:
        """Forget one that is closed."""
        self._open.discard(connection)
        self.tell_answered()

    def tell_answered(self) -> None:
        """Have who waits for answers look again."""
        self._answered.set()

    def stop(self) -> None:
        """Let each connection end with the answer that it waits for; those that wait for none end now."""
        self.stopping = True
        for connection in list(self._open):
            if not connection.answering:
                connection.end()

    def close(self, timeout_s: float) -> None:
        """Wait until all answers are out, but not for longer than this, in seconds; then end what is left."""
        deadline = monotonic() + timeout_s
        while any(one.answering for one in self._open) and monotonic() < deadline:
            self._answered.clear()
            self._answered.wait(max(0.0, deadline - monotonic()))
        for connection in list(self._open):
            connection.end()
        if self._looking is not None:
            self._looking.kill()

    def _look(self) -> None:
        due = monotonic() + LOOK_S
        while True:
            gevent.sleep(max(0.0, due - monotonic()))
            now = monotonic()
            for connection in list(self._open):
                # While a target blocks the hub nobody reads what clients send: that time is not theirs.
                connection.deadline += max(0.0, now - due)
                if connection.deadline < now:
                    connection.end()
            due = now + LOOK_S
