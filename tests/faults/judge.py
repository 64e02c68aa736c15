"""The judge: what was seen from outside becomes figures, and figures a verdict. Nothing else is believed."""

import math
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple


class Run(NamedTuple):
    """A line of the ledger: a target's start (`S`) or end (`F`).

    Attributes:
        kind: `S` or `F`.
        id: of the message.
        pid: of the process it ran in.
        at: when, on the monotonic clock.
        attempt: the how manieth try the framework called it.
    """

    kind: str
    id: str
    pid: int
    at: float
    attempt: int

    @classmethod
    def of(cls, line: list[str]) -> 'Run':
        """Read a line of the ledger, split into words."""
        kind, name, pid, at, attempt = line
        # Once each, of the two million words of a long backlog.
        return cls(sys.intern(kind), sys.intern(name), int(pid), float(at), int(attempt))


@dataclass(frozen=True)
class Evidence:
    """All that was seen of one row in one cell.

    Attributes:
        confirmed: A: ids whose publish the broker confirmed.
        unknown: U: ids whose publish failed or timed out.
        runs: the lines of the ledger.
        dead: D: ids in dead queues, each with its reasons.
        left: R: how often each id is left in any other queue.
        meant_to_fail: ids that ought to be in D, each with its reason, '' for any.
        sent_on: ids of what targets published, None when they publish nothing.
        heals: when the fault was over, each time.
        faults: how often it came.
        stop_s: from the signal to the exit; None when it was not stopped by one.
        exit_code: of the last service; None when it was killed.
        children: of its processes, how many were alive after its end.
        unacked: messages that the broker held unacked after its end.
        remarks: what the row itself found wrong.
    """

    confirmed: frozenset[str]
    unknown: frozenset[str] = frozenset()
    runs: tuple[Run, ...] = ()
    dead: dict[str, list[str]] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)
    meant_to_fail: dict[str, str] = field(default_factory=dict)
    sent_on: frozenset[str] | None = None
    heals: tuple[float, ...] = ()
    faults: int = 1
    stop_s: float | None = None
    exit_code: int | None = 0
    children: int = 0
    unacked: int = 0
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """What a row allows; None allows anything.

    Attributes:
        duplicates: starts over one per (id, attempt), for each time that the fault comes.
        recover_s: from the heal to the first end of a message that was started after it.
        stop_s: from the signal to the exit.
        exit_code: of the service.
    """

    duplicates: int | None = 0
    recover_s: float | None = 2.0
    stop_s: float | None = 11.0
    exit_code: int | None = 0


@dataclass(frozen=True)
class Figures:
    """The figures of the table.

    Attributes:
        sent: how many were confirmed to the publisher.
        lost: confirmed, and neither finished, nor dead, nor left; or finished with its output missing.
        unexpected: finished and never sent.
        duplicates: starts over one per (id, attempt).
        collateral: dead and not meant to be.
        spared: meant to be dead and not.
        recover_s: from the heal to the first end of a message that was started after it.
        stop_s: from the signal to the exit.
        children: left over.
        unacked: left over.
    """

    sent: int
    lost: int
    unexpected: int
    duplicates: int
    collateral: int
    spared: int
    recover_s: float | None
    stop_s: float | None
    children: int
    unacked: int


def figures_of(seen: Evidence) -> Figures:
    """Count."""
    finished = {run.id for run in seen.runs if run.kind == 'F'}
    known = finished | seen.dead.keys() | set(seen.left)
    lost = seen.confirmed - known
    if seen.sent_on is not None:
        lost |= finished - seen.sent_on
    return Figures(
        sent=len(seen.confirmed),
        lost=len(lost),
        unexpected=len(finished - seen.confirmed - seen.unknown),
        duplicates=duplicates_of(seen.runs),
        collateral=len(seen.dead.keys() - seen.meant_to_fail.keys()),
        spared=len((seen.meant_to_fail.keys() & seen.confirmed) - seen.dead.keys()),
        recover_s=recover_of(seen),
        stop_s=seen.stop_s,
        children=seen.children,
        unacked=seen.unacked,
    )


def duplicates_of(runs: tuple[Run, ...]) -> int:
    """How many starts there were over one per id and attempt."""
    starts = Counter((run.id, run.attempt) for run in runs if run.kind == 'S')
    return sum(starts.values()) - len(starts)


def recover_of(seen: Evidence) -> float | None:
    """How long after a heal the first new message was finished, which waited or came then; the worst."""
    return max((recover_from(seen.runs, healed_at) for healed_at in seen.heals), default=None)


def recover_from(runs: tuple[Run, ...], healed_at: float) -> float:
    """The same after one heal."""
    old = {run.id for run in runs if run.at < healed_at}
    ends = [run.at for run in runs if run.kind == 'F' and run.id not in old]
    return min(ends) - healed_at if ends else math.inf


def verdict(seen: Evidence, limits: Limits) -> tuple[Figures, list[str]]:
    """Judge: the figures, and a sentence for each that breaks its limit."""
    found = figures_of(seen)
    broken = list(seen.remarks)
    for name in ('lost', 'unexpected', 'collateral', 'spared', 'children', 'unacked'):
        if count := getattr(found, name):
            broken.append(f'{name} {count}')
    duplicates = None if limits.duplicates is None else limits.duplicates * max(1, seen.faults)
    allowed = {'duplicates': duplicates, 'recover_s': limits.recover_s, 'stop_s': limits.stop_s}
    for name, most in allowed.items():
        value = getattr(found, name)
        if None not in (value, most) and value > most:
            broken.append(f'{name} {value:.4g}, at most {most:g} allowed')
    if limits.exit_code is not None and seen.exit_code not in (None, limits.exit_code):
        broken.append(f'exit code {seen.exit_code}, not {limits.exit_code}')
    for name, reason in seen.meant_to_fail.items():
        broken += [
            f'{name} is dead for {other!r}, not {reason!r}'
            for other in seen.dead.get(name, ())
            if reason not in ('', other)
        ]
    if not seen.confirmed:
        broken.append('nothing was sent')
    return found, broken
