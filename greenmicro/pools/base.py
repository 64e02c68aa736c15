"""The contract of a pool: worker slots, and one fair queue of what waits for a slot."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from greenmicro.dependencies import BeginCall, Publish, no_calls
from greenmicro.entrypoints import Entrypoint
from greenmicro.messages import NOT_RUN, Message, Outcome
from greenmicro.settings import Settings

logger = logging.getLogger(__name__)

#: From so many waiting messages on it is looked for those that are not ours any more. What a lost channel
#: leaves would otherwise stay, bodies and all, for as long as all workers are busy: once more the prefetch
#: for each channel that is lost.
SWEEP_FROM = 64


class Job(NamedTuple):
    """A message, and the entrypoint that received it."""

    entrypoint: Entrypoint
    message: Message


class Pending:
    """What was received and has no slot yet; taken round-robin over entrypoints.

    An entrypoint with a thousand waiting messages holds another one's single message up by one turn.
    """

    def __init__(self) -> None:
        self._waiting: dict[Entrypoint, deque[Message]] = {}
        self._turns: deque[Entrypoint] = deque()
        self._count = 0
        self._sweep_at = SWEEP_FROM

    def __len__(self) -> int:
        return self._count

    def put(self, entrypoint: Entrypoint, message: Message) -> None:
        """Add a message at the end of its entrypoint's line."""
        line = self._waiting.get(entrypoint)
        if line is None:
            line = self._waiting[entrypoint] = deque()
        if not line:
            self._turns.append(entrypoint)
        line.append(message)
        self._count += 1
        if self._count >= self._sweep_at:
            self._sweep()

    def put_first(self, job: Job) -> None:
        """Put a job back that was taken and could not be started."""
        line = self._waiting.setdefault(job.entrypoint, deque())
        if not line:
            self._turns.appendleft(job.entrypoint)
        line.appendleft(job.message)
        self._count += 1

    def take(self) -> Job | None:
        """Take the next job that is still ours to run; None when nothing waits."""
        turns = self._turns
        while turns:
            entrypoint = turns.popleft()
            line = self._waiting[entrypoint]
            message = line.popleft()
            self._count -= 1
            if line:
                turns.append(entrypoint)
            if entrypoint.begin(message):
                return Job(entrypoint, message)
        return None

    def first(self) -> Job | None:
        """Return the job whose turn it is, without taking it; it may be ours no longer."""
        if not self._turns:
            return None
        entrypoint = self._turns[0]
        return Job(entrypoint, self._waiting[entrypoint][0])

    def take_first(self) -> Job | None:
        """Take that one; None when it is ours no longer, and dropped."""
        entrypoint = self._turns.popleft()
        line = self._waiting[entrypoint]
        message = line.popleft()
        self._count -= 1
        if line:
            self._turns.append(entrypoint)
        return Job(entrypoint, message) if entrypoint.begin(message) else None

    def _sweep(self) -> None:
        """Drop what is no longer ours; the next time at twice of what is left, which keeps it cheap."""
        for entrypoint, line in self._waiting.items():
            self._waiting[entrypoint] = deque(message for message in line if entrypoint.holds(message))
        self._turns = deque(entrypoint for entrypoint in self._turns if self._waiting[entrypoint])
        self._count = sum(map(len, self._waiting.values()))
        self._sweep_at = max(SWEEP_FROM, 2 * self._count)

    def clear(self) -> list[Job]:
        """Take all that waits, without asking whether it is still ours."""
        jobs = [Job(entrypoint, message) for entrypoint, line in self._waiting.items() for message in line]
        self._waiting.clear()
        self._turns.clear()
        self._count = 0
        return jobs


class Pool(ABC):
    """Runs jobs in at most `settings.max_workers` slots; built by the table of modes.

    For each submitted job `job.entrypoint.finished(message, outcome)` is called exactly once, on the
    hub; except for one whose `begin` says that it is no longer ours.

    Args:
        settings: The service's settings.
        entrypoints: All that may submit, in the order of the service's list.
        publish: What workers publish with.
        begin_call: What workers call other services with.
    """

    def __init__(
        self,
        settings: Settings,
        entrypoints: Sequence[Entrypoint],
        publish: Publish,
        begin_call: BeginCall = no_calls,
    ) -> None:
        self.settings = settings
        self.entrypoints = entrypoints
        self.publish = publish
        self.begin_call = begin_call
        self.pending = Pending()

    @abstractmethod
    def start(self) -> None:
        """Make the places where workers run ready: WORKER_SETUP, targets, dependencies.

        Raises:
            ConfigError: A target does not resolve, a dependency does not set up, a route does not
                pickle; with everything that was found.
        """

    @abstractmethod
    def submit(self, entrypoint: Entrypoint, message: Message) -> None:
        """Take a message on: start it if a slot is free, else let it wait; returns at once."""

    @abstractmethod
    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing runs and nothing waits; return whether that is so in time."""

    def give_back(self) -> None:
        """Finish as NOT_RUN what waits, without asking whether it is still ours."""
        for job in self.pending.clear():
            self.tell_outcome(job, NOT_RUN)

    @abstractmethod
    def interrupt(self, timeout_s: float) -> None:
        """Cut short what still runs; each such job finishes as NOT_RUN, within the time if it can.

        Nothing is started any more.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the places: dependencies are torn down, children have ended when it returns."""

    def tell_outcome(self, job: Job, outcome: Outcome) -> None:
        """Tell a job's entrypoint what became of it."""
        try:
            job.entrypoint.finished(job.message, outcome)
        except Exception:
            # The user's own finished(): it must not cost a greenlet or a child.
            logger.exception('%s: %r could not be settled', job.entrypoint.name, job.message)
