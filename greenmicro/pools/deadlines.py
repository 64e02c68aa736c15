"""Deadline: whether a call in a child that does not heed its time limit is to be ended from outside."""

from __future__ import annotations

from time import monotonic

from greenmicro.progress import Progress

#: How long after its limit a call may still go on, in seconds, to come to its end by itself.
GRACE_S = 1.0
#: How often it is looked, in seconds, at a child that runs something limited.
LOOK_S = 0.1


class Deadline:
    """Says for one child whether the call that it is in goes on for too long.

    The time counts from the beginning of the call, which the child says, or, since a child that was stopped
    says nothing, from its stop, if that came before.

    Args:
        progress: How far the child is.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._suspended_s = 0.0

    def suspend(self) -> None:
        """Count although there is no call, since the process was stopped in the middle of a message."""
        self._suspended_s = monotonic()

    def resume(self) -> None:
        """Count only calls again, since the process goes on."""
        self._suspended_s = 0.0

    def is_over(self, timeout_s: float) -> bool:
        """Say whether a call with this limit, in seconds, has outrun it and the GRACE_S after it."""
        began_s = self._progress.call_began_s or self._suspended_s
        return began_s > 0 and monotonic() - began_s > timeout_s + GRACE_S
