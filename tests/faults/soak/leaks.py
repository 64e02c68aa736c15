"""Leaks: what a service's main process has, seen from outside, at its best and at its worst moment."""

import time
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from signal import Signals

import psutil

from tests.support.program import Program

MEMORY_LIMIT = 1.10
#: Things come and go under load: what is measured is the most, or the least, of so many looks.
LOOKS, PAUSE_S = 8, 0.25
TALLY_LIMIT_S, POLL_S = 20.0, 0.02


@dataclass(frozen=True)
class Leaks:
    """What a process has.

    Attributes:
        memory: resident, in bytes.
        descriptors: open ones.
        threads: of the system.
        children: children of children included.
        greenlets: that live, as the framework counts them itself; 0 where it does not.
    """

    memory: int
    descriptors: int
    threads: int
    children: int
    greenlets: int = 0

    @classmethod
    def of(cls, pid: int, greenlets: int = 0) -> 'Leaks':
        """Measure a process."""
        process = psutil.Process(pid)
        with process.oneshot():
            memory, threads = process.memory_info().rss, process.num_threads()
        return cls(memory, process.num_fds(), threads, len(process.children(recursive=True)), greenlets)

    @classmethod
    def looks(cls, program: Program, tally: Signals | None) -> list['Leaks']:
        """Measure a service a few times in two seconds."""
        found = []
        for _ in range(LOOKS):
            greenlets = greenlets_of(program, tally) if tally else 0
            found.append(cls.of(program.pid, greenlets))
            time.sleep(PAUSE_S)
        return found

    @classmethod
    def most(cls, looks: Iterable['Leaks']) -> 'Leaks':
        """The largest of each figure."""
        return cls(*map(max, *map(astuple, looks)))

    @classmethod
    def least(cls, looks: Iterable['Leaks']) -> 'Leaks':
        """The smallest of each figure: what leaks is there at every look."""
        return cls(*map(min, *map(astuple, looks)))

    def against(self, first: 'Leaks') -> list[str]:
        """A sentence for each thing that is more than in the first measures."""
        limits = replace(first, memory=int(first.memory * MEMORY_LIMIT))
        return [
            f'{field.name} {getattr(first, field.name)} before, {getattr(self, field.name)} now'
            for field in fields(self)
            if getattr(self, field.name) > getattr(limits, field.name)
        ]

    def __str__(self) -> str:
        return (
            f'{self.memory / 1e6:.1f} MB, {self.descriptors} descriptors, {self.threads} threads, '
            f'{self.children} children, {self.greenlets} greenlets'
        )


def greenlets_of(program: Program, tally: Signals) -> int:
    """Have a service count its greenlets.

    Raises:
        TimeoutError: it does not; with the end of what it has printed.
    """
    path = Path(program.folder, 'greenlets')
    path.unlink(missing_ok=True)
    program.signal(tally)
    deadline = time.monotonic() + TALLY_LIMIT_S
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f'no count of greenlets within {TALLY_LIMIT_S} s: {program.output[-2000:]}')
        time.sleep(POLL_S)
    return int(path.read_text())
