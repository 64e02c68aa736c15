"""Starts a child process, an interpreter of its own, which gets one end of a pipe of ours; and kills it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from greenmicro.child import IGNORED

#: The folder that holds this package, which the child has to find before it knows the parent's sys.path.
_FOLDER = str(Path(__file__).parents[2])
#: Not `-m greenmicro.child`: that looks in the working folder first, and makes a second copy of the module.
_PROGRAM = (
    'import sys; sys.path[:] = [{folder!r}, *filter(None, sys.path)]; '
    'from greenmicro.child import main; main({fd}, {parent})'
)


def spawn(theirs: int, ours: int) -> int:
    """Start a child in a process group of its own, and return its process id.

    Args:
        theirs: The descriptor of the child's end of the pipe.
        ours: That of the parent's end, which the child does not inherit: it is the one number that is free
            there for sure, and theirs gets it. Nothing is inheritable here meanwhile, so no other process
            gets hold of the pipe.

    Raises:
        OSError: The system starts no more processes.
    """
    actions = [
        (os.POSIX_SPAWN_DUP2, theirs, ours),
        # In a process group of its own it would be stopped for reading from a terminal.
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    ]
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    program = _PROGRAM.format(folder=_FOLDER, fd=ours, parent=os.getpid())
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *flags, '-c', program],
        os.environ,
        file_actions=actions,
        setpgroup=0,
        setsigmask=IGNORED,  # until the child ignores them
    )


def kill(group: int) -> None:
    """Kill a child with all that it has started; nothing happens if there is none of it any more."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # the latter is what macOS says of zombies
        pass
