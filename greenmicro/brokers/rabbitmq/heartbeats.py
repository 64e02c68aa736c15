"""Heartbeats: sent by one OS thread for all connections, so that they go on while a target blocks the hub."""

from __future__ import annotations

import time
from typing import Any

from gevent import monkey

from greenmicro.brokers.rabbitmq.frames import HEARTBEAT_FRAME
from greenmicro.brokers.rabbitmq.outbox import Outbox

#: How often the thread looks, in seconds: a quarter of the shortest interval there is.
TICK_S = 0.25


class Pulse:
    """The heartbeats of one connection.

    Args:
        outbox: What else is written to it.
        interval_s: What was agreed with the broker, which gives up after about two of them.
        stall_limit_s: For how long they go on without the hub; at least for an interval.

    Attributes:
        hub_ran_at: When the hub last said that it runs, by the monotonic clock.
    """

    def __init__(self, outbox: Outbox, interval_s: float, stall_limit_s: float) -> None:
        self._outbox = outbox
        self._interval_s = interval_s
        self._stall_limit_s = max(stall_limit_s, interval_s)
        self.hub_ran_at = time.monotonic()

    def beat(self, now: float) -> None:
        """Send a heartbeat if nothing was sent lately and the hub is not blocked for too long.

        Runs in: the thread.
        """
        idle_s = now - self._outbox.last_sent
        if idle_s >= self._interval_s / 2 and now - self.hub_ran_at <= self._stall_limit_s:
            self._outbox.write_now(HEARTBEAT_FRAME)


class Heartbeats:
    """The thread, which is there while there is a pulse.

    It sends all heartbeats, not only those of a blocked hub: one way, which each connection goes all the
    time. It uses nothing of gevent's, which would make a second hub, and never waits for the first one.
    """

    def __init__(self) -> None:
        self._lock: Any = monkey.get_original('_thread', 'allocate_lock')()
        self._pulses: set[Pulse] = set()
        self._running = False

    def add(self, pulse: Pulse) -> None:
        """Have a connection's heartbeats sent from now on."""
        with self._lock:
            self._pulses.add(pulse)
            if not self._running:
                self._running = True
                monkey.get_original('_thread', 'start_new_thread')(self._run, ())

    def remove(self, pulse: Pulse) -> None:
        """Send no more of them."""
        with self._lock:
            self._pulses.discard(pulse)

    def _run(self) -> None:
        sleep = monkey.get_original('time', 'sleep')
        try:
            while pulses := self._current():
                now = time.monotonic()
                for pulse in pulses:
                    pulse.beat(now)
                sleep(TICK_S)
        except BaseException:
            self._running = False  # the next connection starts another
            raise

    def _current(self) -> list[Pulse]:
        with self._lock:
            self._running = bool(self._pulses)
            return list(self._pulses)


#: Of this process.
HEARTBEATS = Heartbeats()
