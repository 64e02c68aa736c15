"""AlarmLimit: a time limit in a child's main thread, by SIGALRM."""

from __future__ import annotations

import signal
from time import monotonic
from types import FrameType
from typing import Any

from greenmicro.limits import Limit
from greenmicro.progress import Progress
from greenmicro.servicepipe import ServicePipe
from greenmicro.workers import Worker

#: How long, in seconds, until it is tried again to raise where that was not possible.
AGAIN_S = 0.005
#: Packages that are left in peace: a log line, or an import, that is cut in two spoils what comes after it.
#: And coverage, which holds a lock as it comes to a file: every line that runs later would wait for it.
UNCUT = {'logging', 'importlib', '_frozen_importlib', 'coverage'}


class Alarm:
    """Raises into the target that runs in this thread; one for the process.

    The service sees when a limited call begins and ends: it kills the process if the call does not end
    soon after its limit, as in a loop that is in C, or when the target swallows the error.

    A process has one SIGALRM and one ITIMER_REAL. During a limited call they are ours; a handler and a timer
    that were there before go on after it. A target that takes them for itself is not interrupted any more,
    only killed.

    Args:
        pipe: The way to the service.
        progress: Where the service sees it.
    """

    def __init__(self, pipe: ServicePipe, progress: Progress) -> None:
        self.pipe = pipe
        self.progress = progress
        self._limit: Limit | None = None
        self._due = 0.0
        self._handler = self._ring  # one object, to be known again
        self._found: Any = None
        self._interval = (0.0, 0.0)

    def limit(self, timeout_s: float) -> Limit:
        """Make the limit of one call; the Place's."""
        return AlarmLimit(timeout_s, self)

    def set(self, limit: Limit) -> None:
        """Let the service see that the call begins, and have it interrupted in time."""
        self.progress.begin_call()
        self._found = signal.getsignal(signal.SIGALRM)
        if self._found is not self._handler:
            signal.signal(signal.SIGALRM, self._handler)
        self._due = monotonic() + limit.timeout_s
        self._limit = limit
        self._interval = signal.setitimer(signal.ITIMER_REAL, limit.timeout_s)

    def clear(self) -> None:
        """Interrupt nothing from here on, and let the service see that the call has ended."""
        self._limit = None
        signal.setitimer(signal.ITIMER_REAL, *self._interval)
        if self._found is not self._handler and callable(self._found):
            # Not SIG_DFL: an alarm of ours that is still on its way would end the process.
            signal.signal(signal.SIGALRM, self._found)
        self.progress.end_call()

    def leave(self) -> None:
        """Leave SIGALRM alone in a process that a target forked; its timer is not inherited."""
        self._limit = None
        if signal.getsignal(signal.SIGALRM) is self._handler:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        limit = self._limit
        # None, or early: the call that it was for has ended.
        if limit is None or limit.error is not None or monotonic() < self._due:
            return
        if self.pipe.is_in_use() or not _is_in_target(frame):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            return
        raise limit.expire()


class AlarmLimit(Limit):
    """Raises in the target wherever it is, as long as that is Python."""

    def __init__(self, timeout_s: float, alarm: Alarm) -> None:
        super().__init__(timeout_s)
        self._alarm = alarm

    def start(self) -> None:
        """Set the alarm; see the contract."""
        self._alarm.set(self)

    def stop(self) -> None:
        """Take the alarm away; see the contract."""
        self._alarm.clear()


#: What runs between the alarm and the target: there the target has not begun yet, or has ended.
_OURS = {
    function.__code__
    for function in (
        Worker.run,
        Limit.__enter__,
        Limit.__exit__,
        AlarmLimit.start,
        AlarmLimit.stop,
        Alarm.set,
        Alarm.clear,
    )
}


def _is_in_target(frame: FrameType | None) -> bool:
    if frame is None or frame.f_code in _OURS:
        return False
    while frame is not None and frame.f_code not in _OURS:
        # A namespace of a target's own making may call itself anything, or nothing.
        if str(frame.f_globals.get('__name__', '')).partition('.')[0] in UNCUT:
            return False
        frame = frame.f_back
    return True
