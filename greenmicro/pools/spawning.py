"""Starts a child process, an interpreter of its own, which gets one end of a pipe of ours; and kills it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from greenmicro.child import IGNORED
from greenmicro.progress import SIZE

#: The folder that holds this package, which the child has to find before it knows the parent's sys.path.
_FOLDER = str(Path(__file__).parents[2])
#: Not `-m greenmicro.child`: that looks in the working folder first, and makes a second copy of the module.
_PROGRAM = (
    'import sys; sys.path[:] = [{folder!r}, *filter(None, sys.path)]; '
    'from greenmicro.child import main; main({fd}, {memory}, {parent})'
)


def spawn(theirs: int, ours: int, memory: int) -> int:
    """Start a child in a process group of its own, and return its process id.

    Args:
        theirs: The descriptor of the child's end of the pipe.
        ours: That of the parent's end, which the child does not inherit: it is the one number that is free
            there for sure, and theirs gets it. Nothing is inheritable here meanwhile, so no other process
            gets hold of the pipe.
        memory: The descriptor of the file that the child's Progress is in.

    Raises:
        OSError: The system starts no more processes.
    """
    free = os.dup(memory)  # again a number that is free there
    actions = [
        (os.POSIX_SPAWN_DUP2, theirs, ours),
        (os.POSIX_SPAWN_DUP2, memory, free),
        # In a process group of its own it would be stopped for reading from a terminal.
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    ]
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
    program = _PROGRAM.format(folder=_FOLDER, fd=ours, memory=free, parent=os.getpid())
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, *flags, '-c', program],
            os.environ,
            file_actions=actions,
            setpgroup=0,
            setsigmask=IGNORED,  # until the child ignores them
        )
    finally:
        os.close(free)


def kill(group: int) -> None:
    """Kill a child with all that it has started; nothing happens if there is none of it any more."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # the latter is what macOS says of zombies
        pass


def shared_file() -> int:
    """Make a file of the size of a Progress, in memory and without a name; return its descriptor."""
    if sys.platform == 'linux':
        fd = os.memfd_create('greenmicro')
    else:
        fd, path = tempfile.mkstemp()
        Path(path).unlink()
    os.ftruncate(fd, SIZE)
    return fd
