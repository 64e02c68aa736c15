"""The report: one line for each row, mode and queue type, as markdown and as JSON, and its summary."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.faults.play import Result

HEADINGS = (
    *('row', 'fault', 'framework', 'mode', 'queues', 'seed', 'sent', 'lost', 'duplicates', 'collateral'),
    *('recover s', 'stop s', 'verdict'),
)
BEGIN, END = '<!-- fault table -->', '<!-- end of fault table -->'


def table(headings: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A markdown table."""
    rows = [headings, ['---'] * len(headings), *lines]
    return ''.join('| ' + ' | '.join(map(str, row)) + ' |\n' for row in rows)


def seconds(value: float | None) -> str:
    """A figure in seconds; nothing where a row has none."""
    if value is None:
        return ''
    return 'never' if math.isinf(value) else f'{value:.2f}'


def line(result: Result) -> list[object]:
    """A result's line of the report."""
    found = result.figures
    return [
        *(result.row, result.title, result.framework, result.mode, result.queue_type, result.seed),
        *(found.sent, found.lost, found.duplicates, found.collateral),
        *(seconds(found.recover_s), seconds(found.stop_s)),
        'passed' if not result.broken else 'FAILED: ' + '; '.join(result.broken).replace('|', '/'),
    ]


def summary(results: Sequence[Result], absent: Mapping[str, str]) -> str:
    """A line for each row: the worst of its cells, ours and, where it was tried, others' beside it."""
    ours = [result for result in results if result.framework == 'greenmicro']
    others = sorted({result.framework for result in results} - {'greenmicro'})
    headings = [
        *('row', 'fault', 'cells', 'sent', 'lost', 'duplicates', 'collateral', 'recover s, worst', 'verdict'),
        *others,
    ]
    lines: list[list[object]] = []
    for row in dict.fromkeys(result.row for result in ours):
        cells = [result for result in ours if result.row == row]
        lines.append([*worst(cells), *(beside(results, row, other) for other in others)])
    told = ''.join(f'\nNot played here: {row}: {reason}.' for row, reason in absent.items())
    return table(headings, lines) + told


def worst(cells: Sequence[Result]) -> list[object]:
    """A row over all its cells."""
    figures = [cell.figures for cell in cells]
    recovered = [found.recover_s for found in figures if found.recover_s is not None]
    failed = sum(bool(cell.broken) for cell in cells)
    return [
        *(cells[0].row, cells[0].title, len(cells)),
        *(
            sum(getattr(found, name) for found in figures)
            for name in ('sent', 'lost', 'duplicates', 'collateral')
        ),
        seconds(max(recovered, default=None)),
        f'{failed} failed' if failed else 'passed',
    ]


def beside(results: Sequence[Result], row: str, framework: str) -> str:
    """What another framework did in a row."""
    cells = [result for result in results if (result.row, result.framework) == (row, framework)]
    if not cells:
        return ''
    if not any(cell.broken for cell in cells):
        return 'passed'
    return (
        '; '.join(told for cell in cells for told in cell.broken).replace('|', '/').replace('\n', ' ')[:160]
    )


def write(folder: Path, results: Sequence[Result], absent: Mapping[str, str], told: str) -> None:
    """Write report.md, report.json and summary.md into a folder.

    Args:
        folder: where.
        results: of all rows and cells that were played.
        absent: rows that cannot be injected here, each with the reason.
        told: a line on top, with the seed and the machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = 'Not played here:\n\n' * bool(absent) + ''.join(
        f'- {row}: {reason}\n' for row, reason in absent.items()
    )
    full = table(HEADINGS, map(line, results))
    (folder / 'report.md').write_text(f'{told}\n\n{full}\n{missing}')
    (folder / 'summary.md').write_text(f'{told}\n\n{summary(results, absent)}\n')
    values = {'told': told, 'results': [result.as_json() for result in results], 'absent': dict(absent)}
    (folder / 'report.json').write_text(json.dumps(values, indent=1, default=str))


def put_into(readme: Path, text: str) -> None:
    """Replace what stands between the README's two markers.

    Raises:
        ValueError: the markers are not there.
    """
    before, begin, rest = readme.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f'{readme}: wanted the lines {BEGIN!r} and {END!r}')
    readme.write_text(f'{before}{BEGIN}\n{text.strip()}\n{END}{after}')
