"""How much memory this process holds; only a child with MAX_MEMORY_PER_CHILD_MB imports it."""

from __future__ import annotations

import os
import resource
import sys

#: What getrusage counts memory in, in bytes.
_UNIT = 1 if sys.platform == 'darwin' else 1024
_PAGE = resource.getpagesize()


def exceeds(limit: int) -> bool:
    """Say whether the resident memory is above a limit.

    The peak is asked first, at 0.8 us: as long as that is below, what is there now need not be read, at 6.
    Where there is no /proc, as on macOS, the peak has to do.

    Args:
        limit: In bytes.
    """
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT <= limit:
        return False
    try:
        # Not kept open: a target may close it, and open something else under its number.
        fd = os.open('/proc/self/statm', os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return int(os.read(fd, 128).split()[1]) * _PAGE > limit
    finally:
        os.close(fd)
