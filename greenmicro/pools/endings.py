"""How a process ended, or was stopped, in words."""

from __future__ import annotations

import signal


def end_of(code: int) -> str:
    """Word an exit code as `os.waitstatus_to_exitcode` returns it: negative for a signal."""
    if code >= 0:
        return f'exited with code {code}'
    return f'killed by {name_of(-code)}'


def name_of(number: int) -> str:
    """Name a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f'signal {number}'  # a real-time one, say
