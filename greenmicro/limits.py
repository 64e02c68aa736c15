"""Limit: bounds one call of a target in time; how it is interrupted is the place's affair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

from greenmicro.errors import TargetTimeoutError


class Limit(ABC):
    """Bounds the call in its `with` block; made for one call.

    A call that it has interrupted has timed out, whatever the target makes of the TargetTimeoutError; one
    that ended before that has not, however close it was.

    Args:
        timeout_s: How long the call may take, in seconds.

    Attributes:
        error: What it has raised into the target; None while that is in time.
    """

    #: What ends a call for other reasons, and goes before a time-out.
    passing: tuple[type[BaseException], ...] = ()

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.error: TargetTimeoutError | None = None

    @abstractmethod
    def start(self) -> None:
        """Begin to count the time."""

    @abstractmethod
    def stop(self) -> None:
        """Count no more; from here on it raises nothing into what runs."""

    def expire(self) -> TargetTimeoutError:
        """Return what is to be raised into the target now."""
        self.error = TargetTimeoutError(overrun(self.timeout_s))
        return self.error

    def __enter__(self) -> None:
        self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self.error is not None and error is not self.error and not isinstance(error, self.passing):
            # It was swallowed; its traceback still shows where the target was.
            raise self.error


def overrun(timeout_s: float) -> str:
    """Say what was wrong, for the error and for whoever kills what ignores it."""
    return f'the target ran longer than its limit of {timeout_s:g} s'
