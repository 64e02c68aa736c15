"""What processes cost: processor time and memory of a whole tree, and the moment a process ends."""

import os
import select
import sys
import time
from pathlib import Path

import psutil

LINUX = sys.platform == 'linux'
MIB = 1024 * 1024

#: What `ProcessTree.memory_mib` adds up.
MEMORY = 'PSS' if LINUX else 'RSS'


class ProcessTree:
    """A process with all that it started.

    Args:
        pid: The root.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pids: list[int] = []
        self._cpu_s: dict[int, float] = {}

    def look(self) -> None:
        """Find out which processes there are; that reads all of /proc, so it is not done at every sample."""
        try:
            children = psutil.Process(self.pid).children(recursive=True)
            self._pids = [self.pid, *(child.pid for child in children)]
        except psutil.NoSuchProcess:
            self._pids = []

    def cpu_s(self) -> float:
        """User and system time of all in seconds; of those that have ended, as it was seen last."""
        for pid in self._pids:
            taken_s = cpu_s_of(pid)
            if taken_s is not None:
                self._cpu_s[pid] = taken_s
        return sum(self._cpu_s.values())

    def memory_mib(self, kind: str = MEMORY) -> float:
        """Memory of all in MiB; PSS counts pages that processes share once over all."""
        return sum(memory_of(pid, kind) for pid in self._pids)


def cpu_s_of(pid: int) -> float | None:
    """User and system time of a process in seconds, None if it is gone.

    On Linux by its clock (clock_getcpuclockid(3)), in nanoseconds; `/proc/<pid>/stat` counts in 10 ms.
    """
    try:
        if LINUX:
            return time.clock_gettime((~pid << 3) | 2)
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    except (OSError, psutil.NoSuchProcess):
        return None


def memory_of(pid: int, kind: str) -> float:
    """Memory of a process in MiB, 0 if it is gone.

    Args:
        pid: The process.
        kind: PSS, its share of what it has mapped; USS, what is its alone; RSS, all it has mapped.
    """
    try:
        process = psutil.Process(pid)
        if kind == 'RSS' or not LINUX:
            return float(process.memory_info().rss / MIB)
        return float(getattr(process.memory_full_info(), kind.lower()) / MIB)
    except (OSError, psutil.Error):
        return 0.0


class ExitWatch:
    """Sees the end of a child process at once, where `Popen.wait` with a time-out looks every 50 ms.

    Args:
        pid: A child of this process that is not waited for elsewhere meanwhile.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid) if LINUX else None

    def wait(self, timeout_s: float) -> float:
        """Wait for the end, and return its moment on the monotonic clock; the exit code stays to be read.

        Raises:
            TimeoutError: It runs on.
        """
        try:
            if self._pidfd is None:
                self._look(timeout_s)
            elif not select.select([self._pidfd], [], [], timeout_s)[0]:
                raise TimeoutError(f'process {self.pid} was still running after {timeout_s} s')
            return time.monotonic()
        finally:
            if self._pidfd is not None:
                os.close(self._pidfd)

    def _look(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                raise TimeoutError(f'process {self.pid} was still running after {timeout_s} s')
            time.sleep(0.001)


def wait_for_file(path: Path, size: int = 1, timeout_s: float = 60.0) -> None:
    """Wait until another process has written so many bytes.

    Raises:
        TimeoutError: It has not.
    """
    deadline = time.monotonic() + timeout_s
    while not path.exists() or path.stat().st_size < size:
        if time.monotonic() > deadline:
            raise TimeoutError(f'{path} has not come to {size} bytes within {timeout_s} s')
        time.sleep(0.002)
