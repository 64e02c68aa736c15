"""Staff: sees to it that there are as many children as there are slots."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic
from typing import Any

import gevent
from gevent.event import Event

from greenmicro.errors import ConfigError
from greenmicro.pools.children import KILL_TIMEOUT_S, Child, Owner
from greenmicro.settings import Settings

logger = logging.getLogger(__name__)

#: How long children get to release their workers at the end, in seconds.
CLOSE_TIMEOUT_S = 1.0
#: How long the other children get, in seconds, to say what is wrong when one has said so.
FAULTS_TIMEOUT_S = 1.0
#: While children die before they are of use, so much lies between one start and the next, in seconds.
RETRY_S = 1.0
#: The replacement of a child is started when so large a part of its tasks is left.
EARLY = 0.1


class Staff:
    """Starts the children, replaces those that die, retires those that are worn, and ends them all.

    Args:
        settings: The service's settings.
        owner: Whom the children tell.

    Attributes:
        children: Those that are to stay, ready or not.
        retired: Those that are to end, and have not.
        ready: How many of `children` are ready.
        closed: Whether no more are started, and no more jobs given to them.
    """

    def __init__(self, settings: Settings, owner: Owner) -> None:
        self.children: set[Child] = set()
        self.retired: set[Child] = set()
        self.ready = 0
        self.closed = False
        self._settings = settings
        self._owner = owner
        self._setup = b''
        self._failed_starts = 0
        self._started_at = 0.0
        self._start_fault = ''
        self._missing = Event()
        self._keeper: Any = None
        limit = settings.max_tasks_per_child
        self._worn_at = None if limit is None else max(1, limit - int(limit * EARLY))

    @property
    def all(self) -> list[Child]:
        """All that have not ended."""
        return [*self.children, *self.retired]

    def start(self, setup: bytes) -> None:
        """Start all children and wait until each is ready; a `shut` meanwhile ends the wait.

        Args:
            setup: The first frame that each is to read.

        Raises:
            ConfigError: They do not start, or do not get ready; those that did are still to be closed.
        """
        self._setup = setup
        children = [Child(self._owner) for _ in range(self._settings.max_workers)]
        try:
            for child in children:
                self._start(child)
        except OSError as error:
            raise ConfigError(f'worker process {len(self.children) + 1} does not start: {error}') from error
        faults = _faults(children)
        if self.closed:
            return
        if faults:
            raise ConfigError(*faults)
        self._keeper = gevent.spawn(self._keep)
        # From here on dead ones are replaced, those too that died since they got ready.
        self._missing.set()

    def shut(self) -> None:
        """Start neither jobs nor children any more."""
        self.closed = True
        if self._keeper is not None:
            self._keeper.kill()

    def close(self) -> None:
        """Have the children end, or kill them."""
        self.shut()
        children = self.all
        for child in self.children:
            # One that is not ready may hang, and has nothing to release.
            (child.retire if child.ready else child.kill)()
        ends = [child.gone for child in children]
        gevent.wait(ends, timeout=CLOSE_TIMEOUT_S)
        for child in children:
            child.kill()
        gevent.wait(ends, timeout=KILL_TIMEOUT_S)
        for child in children:
            if not child.gone.is_set():
                child.leave()

    def note_ready(self) -> None:
        """One is ready."""
        if self._start_fault:
            logger.info('worker processes get ready again')
        self._start_fault = ''
        self.ready += 1

    def note_use(self) -> None:
        """One has run a job."""
        self._failed_starts = 0

    def is_worn(self, child: Child) -> bool:
        """Say whether a child is to be replaced, as soon as it has no jobs."""
        return child.large or child.tasks == self._settings.max_tasks_per_child

    def note_task(self, child: Child) -> None:
        """A child was sent a job."""
        if child.tasks == self._worn_at:
            self._missing.set()

    def retire(self, child: Child) -> None:
        """Have a child end, and be replaced."""
        self.children.remove(child)
        self.retired.add(child)
        self.ready -= 1
        child.retire()
        # Its target may have left a thread that never ends.
        gevent.spawn_later(self._settings.stop_timeout_s, child.kill)
        self._missing.set()

    def forget(self, child: Child) -> None:
        """Have a child replaced that has ended."""
        self._missing.set()
        if child in self.retired:
            self.retired.remove(child)
            return
        self.children.remove(child)
        if child.ready:
            self.ready -= 1
        if self.closed or self._keeper is None:
            return
        if child.ready:
            logger.warning('worker process %d was lost: %s; it is replaced', child.pid, child.end)
            # One that died before it was of use: those after it may die of the same.
            self._failed_starts += not child.tasks
        else:
            self._start_failed(_start_faults(child))

    def _start(self, child: Child) -> None:
        child.start(self._setup)
        self.children.add(child)

    def _start_failed(self, faults: Sequence[str]) -> None:
        self._failed_starts += 1
        fault = '\n'.join(faults)
        if fault != self._start_fault:
            self._start_fault = fault
            logger.error('a worker process cannot be replaced, which is tried again: %s', fault)

    def _keep(self) -> None:
        """Start the children that are missing; the greenlet of this staff."""
        while True:
            self._missing.wait()
            self._missing.clear()
            while len(self.children) < self._wanted():
                if self._failed_starts:
                    gevent.sleep(max(0.0, self._started_at + RETRY_S - monotonic()))
                self._started_at = monotonic()
                try:
                    self._start(Child(self._owner))
                except OSError as error:
                    self._start_failed([str(error)])

    def _wanted(self) -> int:
        """Count the slots, and the successors of children whose tasks are nearly used up."""
        slots = self._settings.max_workers
        if self._worn_at is None:
            return slots
        return slots + min(slots, sum(child.tasks >= self._worn_at for child in self.children))


def _faults(children: Sequence[Child]) -> list[str]:
    """Wait until each child is ready or it is known why not; return what was found, once each."""
    known = [child.known for child in children]
    for _ in gevent.iwait(known):
        if not all(child.ready for child in children if child.known.is_set()):
            # One of the others may hang instead.
            gevent.wait(known, timeout=FAULTS_TIMEOUT_S)
            break
    failed = [child for child in children if child.known.is_set() and not child.ready]
    return list(dict.fromkeys(fault for child in failed for fault in _start_faults(child)))


def _start_faults(child: Child) -> Sequence[str]:
    return child.faults or [f'a worker process {child.end} before it was ready; its output may tell why']
