"""Sent: the jobs that one child was sent and has not ended."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from greenmicro.messages import SUCCEEDED, Failure, Outcome, Reason
from greenmicro.pipe import loads_plain
from greenmicro.pools.base import Job
from greenmicro.progress import How, Progress

#: What a child may have at a time, if it is more than one job: so many seconds of work, for that long others
#: may be idle meanwhile; so many bytes, for they have to fit into the pipe; and fewer than `progress.SLOTS`.
MOST_S = 0.005
MOST_BYTES = 65_536
MOST_JOBS = 128


class Entry(NamedTuple):
    """A job with a child.

    Attributes:
        number: Its number; they rise.
        job: Itself.
        expected_s: How long it will take, in seconds.
        size: How many bytes of the pipe it takes.
    """

    number: int
    job: Job
    expected_s: float
    size: int


class Done(NamedTuple):
    """A job that was run.

    Attributes:
        job: Itself.
        outcome: Its outcome.
        took_s: How long it took, in seconds.
    """

    job: Job
    outcome: Outcome
    took_s: float


class Sent:
    """What a child has, in the order in which it runs it.

    The first one may be running. What waits behind it can be taken back: it is recalled, and when the child
    has had the time to see that, what it had not started before then is not started any more.

    Args:
        progress: How far the child is.

    Attributes:
        line: The jobs.
    """

    def __init__(self, progress: Progress) -> None:
        self.line: deque[Entry] = deque()
        self._progress = progress
        self._told: dict[int, Outcome] = {}
        self._expected_s = 0.0
        self._size = 0
        self._last = 0
        self._seen = 0
        self._recalled = 0
        self._is_stuck = False

    @property
    def running(self) -> Entry | None:
        """What the child has started, and not ended when it was last collected."""
        if self.line and self.line[0].number == self._progress.started:
            return self.line[0]
        return None

    @property
    def is_crowded(self) -> bool:
        """Whether something waits behind the first one."""
        return len(self.line) > 1

    def has_room(self, expected_s: float, size: int, most_s: float = MOST_S) -> bool:
        """Say whether one more may wait there, with so much work in all."""
        return (
            self._expected_s + expected_s <= most_s
            and self._size + size <= MOST_BYTES
            and len(self.line) < MOST_JOBS
            and not self._is_stuck
        )

    def add(self, job: Job, expected_s: float, size: int) -> int:
        """Put a job at the end, and return its number."""
        self._last += 1
        self.line.append(Entry(self._last, job, expected_s, size))
        self._expected_s += expected_s
        self._size += size
        return self._last

    def tell(self, number: int, payload: bytes) -> None:
        """Take an outcome that came on the pipe."""
        self._told[number] = _outcome(payload)

    def collect(self) -> tuple[list[Done], list[Job]]:
        """Take out what has ended; and what was recalled in time, and came to its turn."""
        done: list[Done] = []
        unrun: list[Job] = []
        while self.line:
            number, job, *_ = self.line[0]
            end = self._progress.end_of(number)
            if end is None or (end.how == How.TOLD and number not in self._told):
                break  # or its outcome is still on its way
            self._forget(self.line.popleft())
            self._is_stuck = False
            if end.how == How.UNRUN:
                unrun.append(job)
            else:
                outcome = self._told.pop(number) if end.how == How.TOLD else SUCCEEDED
                done.append(Done(job, outcome, end.took_s))
        return done, unrun

    def recall(self) -> None:
        """Begin to take back what waits."""
        self._recalled = self._last
        self._is_stuck = True
        self._progress.recall(self._last)

    def look(self) -> list[Job]:
        """Recall what waits if the first one has gone on since the last look; return what is back.

        To be called every few milliseconds.
        """
        started = self._progress.started
        back: list[Job] = []
        if self._recalled:
            back = self._take_back(started)
            self._recalled = 0
        elif started == self._seen and self.is_crowded:
            self.recall()
        self._seen = started
        return back

    def _take_back(self, started: int) -> list[Job]:
        """Take out what was recalled and not started; the first one stays, as the child's own."""
        kept: list[Entry] = []
        back: list[Job] = []
        while self.line and self.line[-1].number > self._recalled:
            kept.append(self.line.pop())
        while self.is_crowded and self.line[-1].number > started:
            entry = self.line.pop()
            self._forget(entry)
            back.append(entry.job)
        self.line.extend(reversed(kept))
        back.reverse()
        return back

    def _forget(self, entry: Entry) -> None:
        self._size -= entry.size
        # Exactly 0 in the end, however the sum was rounded.
        self._expected_s = self._expected_s - entry.expected_s if self.line else 0.0


def _outcome(payload: bytes) -> Outcome:
    try:
        ran, failure, result = loads_plain(payload)
    except Exception as error:
        return Outcome.failed(Failure.of(Reason.RESULT, error))
    return Outcome(ran, None if failure is None else Failure(*failure), result)
