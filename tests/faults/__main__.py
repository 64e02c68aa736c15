"""The full tier: every row in every mode and on every queue type, and the report.

python -m tests.faults [--rows N1,B1] [--modes thread,process] [--frameworks greenmicro,nameko] [--seed 1]
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402   # imports below the patch, which must come first
import argparse
import os
import platform
import random
import sys
import time
from pathlib import Path

from tests.faults import report
from tests.faults.cluster import Cluster
from tests.faults.frameworks import FRAMEWORKS
from tests.faults.play import Result, play_row
from tests.faults.row import Cell, Row
from tests.faults.rows import ROWS, absent
from tests.faults.small_disk import SmallDisk
from tests.support.node_files import find_server
from tests.support.rabbitmq import Node

CHECKOUT = Path(__file__).parents[2]
#: Rows in which other frameworks are tried beside ours.
COMPARED = ('N1', 'B1', 'L1', 'T1')
#: So many cells at a time on one node.
SIDE_BY_SIDE = 4


def main() -> int:
    """Play what is asked for; the exit code is the number of failures, at most 1."""
    asked = arguments()
    random.seed(asked.seed)
    results: list[Result] = []
    began = time.monotonic()
    missing = absent()
    rows = [row for row in chosen(asked.rows) if row.id not in missing]
    for kind in (Node, SmallDisk, Cluster):
        here = [row for row in rows if node_of(row) is kind]
        if here:
            with kind() as node:
                results += played(here, node, asked)
    told = (
        f'The {"small" if asked.quick else "full"} numbers in the modes {asked.modes or "all"}, '
        f'seed {asked.seed}, RabbitMQ {node_version()}, CPython {platform.python_version()}, '
        f'{os.cpu_count()} cores, {len(results)} cells in {(time.monotonic() - began) / 60:.0f} min.'
    )
    report.write(asked.into, results, missing, told)
    if asked.readme:
        report.put_into(CHECKOUT / 'README.md', (asked.into / 'summary.md').read_text())
    failed = sum(bool(result.broken) for result in results)
    print(f'{told} {failed} failed. The report is in {asked.into}.')
    return min(failed, 1)


def node_of(row: Row) -> type[Node]:
    """What a row is played on."""
    if row.cluster:
        return Cluster
    return SmallDisk if row.small_disk else Node


def played(rows: list[Row], node: Node, asked: argparse.Namespace) -> list[Result]:
    """Play rows on a node, each in its cells, and say how each ended."""
    results = []
    for row in rows:
        for cells in batches(row, asked):
            for result in play_row(row, cells, node, full=not asked.quick):
                results.append(result)
                say(result)
    return results


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--rows', default='', help='ids with commas between; default: all')
    parser.add_argument('--modes', default='', help='modes with commas between; default: all')
    parser.add_argument('--queues', default='classic,quorum', help='queue types')
    parser.add_argument('--frameworks', default='greenmicro', help=f'of {", ".join(FRAMEWORKS)}')
    parser.add_argument('--seed', type=int, default=1, help='of the chances that are taken')
    parser.add_argument('--quick', action='store_true', help='the small numbers of the quick tier')
    parser.add_argument('--readme', action='store_true', help="put the summary into the README's fault table")
    parser.add_argument('--into', type=Path, default=CHECKOUT / 'build' / 'faults', help='the folder')
    return parser.parse_args()


def chosen(ids: str) -> list[Row]:
    """The rows asked for, or all."""
    wanted = ids.split(',') if ids else list(ROWS)
    if unknown := [name for name in wanted if name not in ROWS]:
        sys.exit(f'unknown rows {unknown}; there are {", ".join(ROWS)}')
    return [ROWS[name] for name in wanted]


def batches(row: Row, asked: argparse.Namespace) -> list[list[Cell]]:
    """The cells of a row, a few at a time."""
    cells = [
        cell
        for framework in map(FRAMEWORKS.__getitem__, asked.frameworks.split(','))
        for mode in framework.modes
        for queue_type in asked.queues.split(',')
        if not asked.modes or framework.name != 'greenmicro' or mode in asked.modes.split(',')
        if framework.name == 'greenmicro' or row.id in COMPARED
        if row.applies(cell := Cell(framework, mode, queue_type))
    ]
    return [cells[start : start + SIDE_BY_SIDE] for start in range(0, len(cells), SIDE_BY_SIDE)]


def say(result: Result) -> None:
    """A line for each cell, as it ends."""
    place = f'{result.framework} {result.mode} {result.queue_type}'
    told = 'passed' if not result.broken else 'FAILED ' + '; '.join(result.broken)
    print(f'{result.row:4} {place:36} {result.took_s:6.1f} s  {told}', flush=True)


def node_version() -> str:
    """The version of the broker that the rows were played on."""
    plugins = Path(find_server()).resolve().parent.parent / 'plugins'
    return next((path.name.removeprefix('rabbit-') for path in plugins.glob('rabbit-*')), 'unknown')


if __name__ == '__main__':
    sys.exit(main())
