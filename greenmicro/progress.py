"""Progress: memory that a child shares with the service, by which each sees how far the other one is.

A look at it costs 0.1 us and nobody is woken, where a frame on the pipe costs each side 10 to 30 us; and what
a child wrote last is still there when it was killed. Nothing is locked: each word is eight bytes, is written
at once, and by one side only. So all that has to fit together is in one word.
"""

from __future__ import annotations

import mmap
from time import monotonic_ns
from typing import NamedTuple

#: For so many jobs in a row it is kept how they ended; fewer than that are with a child at a time.
SLOTS = 256
#: Of the file, in bytes.
SIZE = mmap.PAGESIZE

#: The words: the number of the job that runs, or ran last; up to which number no job is to be started; when
#: the call that is limited in time began, in ns, 0 for none; then a slot for each job.
_STARTED, _RECALLED, _CALL_BEGAN, _FIRST = range(4)

#: A slot: the job's number, how it ended in 2 bits, how long it took, in us, in 22 bits.
_NUMBER, _HOW, _LONGEST_US = 24, 22, 2**22 - 1


class How:
    """How a job ended."""

    SUCCEEDED = 0
    TOLD = 1  # its outcome comes on the pipe
    UNRUN = 2  # it was not started


class End(NamedTuple):
    """The end of a job.

    Attributes:
        how: One of the `How` values.
        took_s: How long it took, in seconds, 4 at most.
    """

    how: int
    took_s: float


class Progress:
    """What one child has done; each side makes one, and has it share the same file."""

    def __init__(self) -> None:
        self._words = memoryview(bytearray(SIZE)).cast('Q')

    def share(self, fd: int) -> None:
        """Be in a file from now on, whose descriptor is not needed any longer then."""
        self._words = memoryview(mmap.mmap(fd, SIZE)).cast('Q')

    def leave(self) -> None:
        """Share nothing any more, since the child has ended, or in a process that a target forked."""
        # The descriptor that mmap keeps for itself is closed with the last reference to it, which is this.
        self._words = memoryview(bytearray(SIZE)).cast('Q')

    # The child's side.

    def start(self, number: int) -> bool:
        """Say that a job is started, unless it was recalled: then it must not be run.

        The order matters: whoever recalls it looks, some time later, whether it was started before.
        """
        self._words[_STARTED] = number
        return self._words[_RECALLED] < number

    def finish(self, number: int, how: int, took_s: float = 0.0) -> None:
        """Say that a job has ended."""
        took_us = min(int(took_s * 1e6), _LONGEST_US)
        self._words[_FIRST + number % SLOTS] = number << _NUMBER | how << _HOW | took_us

    def begin_call(self) -> None:
        """Say that a call that is limited in time begins."""
        self._words[_CALL_BEGAN] = monotonic_ns()

    def end_call(self) -> None:
        """Say that it has ended."""
        self._words[_CALL_BEGAN] = 0

    # The service's side.

    @property
    def started(self) -> int:
        """The number of the job that runs, or ran last; 0 before the first."""
        return self._words[_STARTED]

    @property
    def call_began_s(self) -> float:
        """When the call began that is limited in time, on the monotonic clock; 0 when there is none."""
        return self._words[_CALL_BEGAN] / 1e9

    def recall(self, number: int) -> None:
        """Have no job started any more up to this number.

        The child may be about to start one: only a look at `started` a few milliseconds later tells.
        """
        self._words[_RECALLED] = number

    def end_of(self, number: int) -> End | None:
        """Return how a job ended; None while it has not."""
        word = self._words[_FIRST + number % SLOTS]
        if word >> _NUMBER != number:
            return None
        return End(word >> _HOW & 3, (word & _LONGEST_US) / 1e6)
