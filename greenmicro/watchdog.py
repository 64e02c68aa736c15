"""Watchdog: an OS thread that names the target which lets nothing else run in this process."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from types import FrameType
from typing import Any

import gevent
from gevent import monkey

from greenmicro.workers import Worker

logger = logging.getLogger(__name__)

#: How often the thread looks whether the hub has run, in seconds, at least.
TICK_MOST_S = 1.0
#: Of a stack, the innermost calls.
CALLS_MOST = 30

ADVICE = 'nothing else ran meanwhile; a target that computes belongs in a process mode (WORKER_MODE)'


class Watchdog:
    """Tells when the hub does not run, and what runs instead.

    While the hub is blocked it is told on standard error, past `logging`: whose locks are gevent's, and the
    hub may hold one. When the hub runs again it is told through `logging`, once, with how long it took.

    Args:
        warn_s: For how long the hub may be blocked without a word.
    """

    def __init__(self, warn_s: float) -> None:
        self._warn_s = warn_s
        self._tick_s = min(warn_s / 4, TICK_MOST_S)
        self._ticks = math.ceil(warn_s / self._tick_s)
        self._beats = 0
        self._ran_at = 0.0
        self._stall: tuple[str, str] | None = None  # in a word, and in full
        self._last: tuple[str, float] | None = None  # the last one that has ended: in a word, and its seconds
        self._greenlet: Any = None
        self._ended_at = 0.0

    def start(self) -> None:
        """Begin to watch the hub of this thread."""
        self._ran_at = time.monotonic()
        greenlet = self._greenlet = gevent.spawn(self._beat)
        hub_thread = monkey.get_original('_thread', 'get_ident')()
        # Where there was no standard error at the start its number may be a connection's by now.
        stderr = os.dup(2) if sys.stderr is not None else None
        monkey.get_original('_thread', 'start_new_thread')(self._watch, (greenlet, hub_thread, stderr))

    def stop(self) -> None:
        """Watch no more; the thread ends a tick later."""
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            greenlet.kill()

    def last_stall(self) -> dict[str, Any] | None:
        """Say what blocked the hub last, for how long, and how long ago that ended; None if nothing did."""
        if self._last is None:
            return None
        by, blocked_s = self._last
        ago_s = time.monotonic() - self._ended_at
        return {'by': by, 'blocked_s': round(blocked_s, 1), 'ago_s': round(ago_s, 1)}

    def _beat(self) -> None:
        while True:
            gevent.sleep(self._tick_s)
            ran_at, self._ran_at = self._ran_at, time.monotonic()
            self._beats += 1
            stall, self._stall = self._stall, None
            blocked_s = self._ran_at - ran_at
            if stall is not None and blocked_s >= self._warn_s:  # else it ended while it was being told
                self._last, self._ended_at = (stall[0], blocked_s), self._ran_at
                logger.warning('blocked for %.1f s by %s', blocked_s, stall[1])

    def _watch(self, greenlet: object, hub_thread: int, stderr: int | None) -> None:
        """Look whether the hub still beats; counted in ticks, since a frozen process is no blocked hub.

        Runs in: the thread, with nothing of gevent's, which would make a second hub.
        """
        sleep = monkey.get_original('time', 'sleep')
        beats = ticks = 0
        while self._greenlet is greenlet:
            sleep(self._tick_s)
            if self._beats != beats:
                beats, ticks = self._beats, 0
                continue
            ticks += 1
            if ticks == self._ticks:
                self._tell(hub_thread, stderr)
        if stderr is not None:
            os.close(stderr)

    def _tell(self, hub_thread: int, stderr: int | None) -> None:
        stall = _whereabouts(sys._current_frames().get(hub_thread))
        if stderr is not None and logger.getEffectiveLevel() <= logging.WARNING:
            line = f'greenmicro: blocked for {time.monotonic() - self._ran_at:.1f} s so far by {stall[1]}\n'
            try:
                os.write(stderr, line.encode(errors='replace'))
            except OSError:
                pass  # nobody reads it
        self._stall = stall


def _whereabouts(frame: FrameType | None) -> tuple[str, str]:
    """Say what a thread does: the target, if it is one; and the same with its stack down from there."""
    calls: list[str] = []
    target = who = 'what is no target'
    while frame is not None:
        code = frame.f_code
        if code is Worker.run.__code__:
            seen = frame.f_locals
            worker = seen['self']
            target = str(worker.route.target)
            who = f'{target}, for {worker.entrypoint}, {seen["message"]!r}'
            break  # what is further out is ours
        calls.append(f'\n    {code.co_filename}:{frame.f_lineno} {code.co_name}')
        frame = frame.f_back
    return target, f'{who}: {ADVICE}; it was at{"".join(reversed(calls[:CALLS_MOST]))}'
