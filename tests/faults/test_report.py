"""The report says what the results say."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.judge import Figures
from tests.faults.play import Result
from tests.faults.report import put_into, summary, write

FIGURES = Figures(10, 0, 0, 1, 0, 0, 0.5, 0.25, 0, 0)


def result(framework: str = 'greenmicro', mode: str = 'thread', **more: object) -> Result:
    given = {'figures': FIGURES, 'broken': [], 'took_s': 1.0, 'output': 'said', **more}
    return Result('N1', 'reset', framework, mode, 'classic', **given)  # type: ignore[arg-type]


def test_the_full_report(tmp_path: Path) -> None:
    """A line for each cell with its figures and its verdict, and each row that was not tried."""
    write(tmp_path, [result(), result(mode='process', broken=['lost 1'])], {'N5': 'not root'}, 'Seed 1.')
    told = (tmp_path / 'report.md').read_text()
    assert (
        '| N1 | reset | greenmicro | thread | classic | 1 | 10 | 0 | 1 | 0 | 0.50 | 0.25 | passed |' in told
    )
    assert '| process | classic | 1 | 10 | 0 | 1 | 0 | 0.50 | 0.25 | FAILED: lost 1 |' in told
    assert '- N5: not root' in told
    assert told.startswith('Seed 1.')
    assert '"lost 1"' in (tmp_path / 'report.json').read_text()


def test_the_summary_adds_cells_up_and_has_others_beside_them() -> None:
    """Numbers are sums, the recovery is the worst, a failed cell is told, others have a column."""
    later = result(mode='process', figures=replace(FIGURES, recover_s=float('inf')), broken=['lost 1'])
    told = summary([result(), later, result('nameko', 'eventlet', broken=['lost 8'])], {'N5': 'not root'})
    assert '| N1 | reset | 2 | 20 | 0 | 2 | 0 | never | 1 failed | lost 8 |' in told
    assert 'Not played here: N5: not root.' in told


def test_the_readme_keeps_what_is_around_the_table(tmp_path: Path) -> None:
    """Only what stands between the markers is replaced; without them it is an error."""
    readme = tmp_path / 'README.md'
    readme.write_text('before\n<!-- fault table -->\nold\n<!-- end of fault table -->\nafter\n')
    put_into(readme, 'new\n')
    assert readme.read_text() == 'before\n<!-- fault table -->\nnew\n<!-- end of fault table -->\nafter\n'
    readme.write_text('nothing')
    with pytest.raises(ValueError, match='fault table'):
        put_into(readme, 'new')
