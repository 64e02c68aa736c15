"""Deadline: when a call in a child that does not heed its time limit is ended from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent.hub import get_hub

#: How long after its limit a call may still go on, in seconds, to come to its end by itself.
GRACE_S = 1.0
#: What a child said while the hub was busy is read first, in seconds.
READ_S = 0.01


class Deadline:
    """Watches one child, a limited call at a time; its timers run in the hub.

    Args:
        passed: Called when the call goes on for longer than its limit and GRACE_S.
    """

    def __init__(self, passed: Callable[[], None]) -> None:
        self._passed = passed
        self._timer: Any = None
        self._in_call = False

    def start(self, timeout_s: float) -> None:
        """Count from now on, since a call begins.

        Args:
            timeout_s: The call's limit, in seconds.
        """
        self._in_call = True
        self._set(timeout_s + GRACE_S, self._look_again)

    def stop(self) -> None:
        """Count no more, since the call has ended."""
        self._in_call = False
        self._drop()

    def suspend(self, timeout_s: float) -> None:
        """Count although there is no call, since the process was stopped in the middle of a message."""
        if not self._in_call:
            self._set(timeout_s + GRACE_S, self._look_again)

    def resume(self) -> None:
        """Count only calls again, since the process goes on."""
        if not self._in_call:
            self._drop()

    def _drop(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _set(self, seconds: float, then: Callable[[], None]) -> None:
        self._drop()
        self._timer = get_hub().loop.timer(seconds)
        self._timer.start(then, update=True)

    def _look_again(self) -> None:
        self._set(READ_S, self._pass)

    def _pass(self) -> None:
        self._drop()
        self._passed()
