"""The soak's result: each fault with what came of it, each life with its leaks, as JSON and markdown."""

import json
import re
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.judge import Evidence, Figures
from tests.faults.report import table
from tests.faults.rows import ROWS
from tests.faults.soak.soaked import Life

COUNTED = ('sent', 'lost', 'duplicates', 'collateral')


@dataclass
class Fault:
    """One fault that was played.

    Attributes:
        row: its id.
        beside: whether its row was played whole beside the soaked service, and not in it.
        began: when, on the monotonic clock.
        issued: how many messages of the load there had been until then.
        broken: a sentence for each thing that went wrong.
        took_s: how long it took, until the service was well again.
        counts: messages of the load from this fault to the next one, and in a row beside its own.
    """

    row: str
    beside: bool
    began: float
    issued: int
    broken: list[str] = field(default_factory=list)
    took_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)


@dataclass
class Soak:
    """All of it.

    Attributes:
        told: a line with the seed, the length and the machine.
        faults: in their order.
        lives: of the service.
        left_out: rows that are not played, each with the reason.
        figures: of the load over all.
        broken: a sentence for each limit that was broken; none: it passed.
    """

    told: str
    faults: list[Fault]
    lives: list[Life]
    left_out: dict[str, str]
    figures: Figures
    broken: list[str]


def blame(faults: Sequence[Fault], seen: Evidence) -> list[str]:
    """Count what came of the load from each fault to the next; a sentence for starts that may not be."""
    begins = [fault.issued for fault in faults]
    finished = {run.id for run in seen.runs if run.kind == 'F'}
    lost = seen.confirmed - finished - seen.dead.keys() - set(seen.left)
    if seen.sent_on is not None:
        lost |= finished - seen.sent_on
    collateral = seen.dead.keys() - seen.meant_to_fail.keys()
    for name, ids in (('sent', seen.confirmed), ('lost', lost), ('collateral', collateral)):
        for number in filter(None, map(number_of, ids)):
            faults[max(0, bisect(begins, number) - 1)].counts[name] += 1
    times = [fault.began for fault in faults]
    told = []
    again: dict[int, list[str]] = defaultdict(list)
    for name, at in repeated(seen):
        again[max(0, bisect(times, at) - 1)].append(name)
    for place, names in again.items():
        fault = faults[place]
        fault.counts['duplicates'] += len(names)
        most = 0 if fault.beside else ROWS[fault.row].limits.duplicates
        if most is not None and len(names) > most:
            found = f'{len(names)} duplicates, at most {most} allowed, {names[:9]}'
            told.append(f'{fault.row}, fault {place + 1}: {found}')
            fault.broken.append(told[-1])
    return told


def repeated(seen: Evidence) -> Iterable[tuple[str, float]]:
    """Each start of a message that was started before in the same attempt, and when."""
    known = set()
    for run in seen.runs:
        if run.kind == 'S':
            if (run.id, run.attempt) in known:
                yield run.id, run.at
            known.add((run.id, run.attempt))


def number_of(name: str) -> int | None:
    """The number that an id ends in."""
    found = re.search(r'\d+$', name)
    return int(found[0]) if found else None


def write(path: Path, soak: Soak) -> None:
    """Write the result as path.md and path.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix('.md').write_text(markdown(soak))
    path.with_suffix('.json').write_text(json.dumps(values(soak), indent=1, default=str))


def values(soak: Soak) -> dict[str, Any]:
    """Plain values."""
    lives = [
        {
            'faults': life.faults,
            'leaks': life.leaks,
            'first': life.first and asdict(life.first),
            'last': life.last and asdict(life.last),
        }
        for life in soak.lives
    ]
    faults = [{**vars(fault), 'counts': dict(fault.counts)} for fault in soak.faults]
    return {**vars(soak), 'figures': asdict(soak.figures), 'faults': faults, 'lives': lives}


def markdown(soak: Soak) -> str:
    """A line for each row, a line for each life, what went wrong and what was left out."""
    verdict = 'passed' if not soak.broken else f'FAILED in {len(soak.broken)} points'
    totals = ', '.join(f'{name} {getattr(soak.figures, name)}' for name in COUNTED)
    rows = table(('row', 'fault', 'where', 'times', *COUNTED, 'longest s', 'verdict'), lines(soak.faults))
    headings = ('life', 'faults', 'after its warm-up', 'at its end', 'leaks')
    lives = table(
        headings,
        [
            (number, life.faults, life.first or '', life.last or '', '; '.join(life.leaks) or 'none')
            for number, life in enumerate(soak.lives, 1)
        ],
    )
    wrong = ''.join(f'- {told}\n' for told in soak.broken)
    missing = ''.join(f'- {row}: {reason}\n' for row, reason in soak.left_out.items())
    return (
        f'{soak.told} The load: {totals}; {verdict}.\n\n{rows}\n{lives}\n'
        + f'What went wrong:\n\n{wrong}\n' * bool(wrong)
        + f'Left out:\n\n{missing}' * bool(missing)
    )


def lines(faults: Sequence[Fault]) -> list[tuple[object, ...]]:
    """A line for each row that was played."""
    found = []
    for row in (row for row in ROWS if any(fault.row == row for fault in faults)):
        ours = [fault for fault in faults if fault.row == row]
        counts = sum((fault.counts for fault in ours), Counter())
        failed = sum(bool(fault.broken) for fault in ours)
        found.append(
            (
                *(row, ROWS[row].title, 'beside' if ours[0].beside else 'in it', len(ours)),
                *(counts[name] for name in COUNTED),
                f'{max(fault.took_s for fault in ours):.1f}',
                f'{failed} failed' if failed else 'passed',
            )
        )
    return found
