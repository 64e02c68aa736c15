"""The soak's result blames the fault after which it happened, and its report says so."""

import json
from collections import Counter
from pathlib import Path

from tests.faults.judge import Evidence, Limits, Run, verdict
from tests.faults.rows import ROWS
from tests.faults.service import tasks_of
from tests.faults.soak.leaks import Leaks
from tests.faults.soak.pack import FAULTS, WARM_UP, left_out
from tests.faults.soak.result import Fault, Soak, blame, write
from tests.faults.soak.service import SERVICE
from tests.faults.soak.soaked import Life
from tests.support.program import Program


def runs(name: str, *starts: float) -> tuple[Run, ...]:
    """A message that was started at these moments, and finished after the last one."""
    return (*(Run('S', name, 1, at, 1) for at in starts), Run('F', name, 1, starts[-1] + 0.1, 1))


def faults() -> list[Fault]:
    """Two that may have nothing run twice, and one between them that may."""
    return [
        Fault('N1', False, began=10, issued=0),
        Fault('L5', False, began=20, issued=100),
        Fault('M1', False, began=30, issued=200),
    ]


def test_each_fault_has_its_own_messages() -> None:
    """What was sent, lost and wrongly dead from one fault to the next is counted there."""
    played = faults()
    seen = Evidence(
        confirmed=frozenset({'1', '150', 'raw-199', '200', '250'}),
        runs=(*runs('1', 11), *runs('150', 21), *runs('200', 31)),
        dead={'250': ['target']},
    )
    assert blame(played, seen) == []
    assert [dict(fault.counts) for fault in played] == [
        {'sent': 1},
        {'sent': 2, 'lost': 1},
        {'sent': 2, 'collateral': 1},
    ]


def test_a_second_start_is_judged_by_its_fault() -> None:
    """It is told where a row allows none, and counted where one allows it."""
    played = faults()
    seen = Evidence(frozenset('12'), runs=(*runs('1', 11, 21), *runs('2', 12, 31)))
    assert blame(played, seen) == ["M1, fault 3: 1 duplicates, at most 0 allowed, ['2']"]
    assert [fault.counts['duplicates'] for fault in played] == [0, 1, 1]
    assert [bool(fault.broken) for fault in played] == [False, False, True]


def test_the_report(tmp_path: Path) -> None:
    """A line for each row, one for each life, what went wrong and what was left out, as text and as JSON."""
    played = faults()
    played[1].broken.append('too late')
    played[1].counts = Counter(sent=7, duplicates=2)
    leaks = Leaks(1000, 8, 2, 2, 20)
    life = Life(Program(tmp_path), leaks, leaks, 3, ['threads 2 before, 3 now'])
    figures, _ = verdict(Evidence(frozenset('a'), runs=runs('a', 1.0)), Limits())
    write(tmp_path / 'soak', Soak('A soak.', played, [life], {'B12': 'needs three'}, figures, ['too late']))
    told = (tmp_path / 'soak.md').read_text()
    assert '| L5 | kill -9 of the service | in it | 1 | 7 | 0 | 2 | 0 | 0.0 | 1 failed |' in told
    assert '| threads 2 before, 3 now |' in told
    assert '- B12: needs three' in told
    assert told.startswith(
        'A soak. The load: sent 1, lost 0, duplicates 0, collateral 0; FAILED in 1 points.'
    )
    values = json.loads((tmp_path / 'soak.json').read_text())
    assert values['faults'][1]['counts'] == {'sent': 7, 'duplicates': 2}
    assert values['lives'][0]['first']['greenlets'] == 20


def test_the_pack_is_the_whole_table() -> None:
    """What the soak does to its service are rows, and only what needs another node is left out."""
    assert FAULTS.keys() <= ROWS.keys()
    assert set(WARM_UP) <= FAULTS.keys()
    elsewhere = {row.id for row in ROWS.values() if row.cluster or row.small_disk}
    assert elsewhere <= left_out().keys() <= elsewhere | {'N5', 'N14'}


def test_the_soaked_service_is_a_program() -> None:
    """Its targets, put together from those of the rows, compile, and leave no row's target out."""
    compile(tasks_of(SERVICE, 'ledger'), 'tasks.py', 'exec')
