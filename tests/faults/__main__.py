"""The full tier, every row in every mode and on every queue type, or the long one; and the report.

python -m tests.faults [--rows N1,B1] [--modes thread,process] [--frameworks greenmicro,nameko] [--seed 1]
python -m tests.faults --long [--count 20000] [--seeds 1-20] [--rows N1,B1] [--modes thread]

In the long tier a cell, that is a row in one mode on one queue type with one seed, gets --count messages.
Rows under load keep it up until so many are confirmed, and their fault comes two to five times meanwhile;
others have so many messages around their bad ones. The seed decides when the fault comes, how often, how the
publisher pauses, how many messages are between two bad ones, and the proxy's jitter. Rows whose messages are
slow, or large, by nature (N7, N8, B7a, B8, Q6, Q7, Q8, Q12, M6a, T2, T12, H1, H2, H3) carry a part of it, or
their own numbers. With 2,000 messages a cell of N1 took 40 to 55 s, four side by side on two busy cores, so
reckon with up to 10 minutes for 20,000; all rows with all seeds take days: choose. What is played is reported
after each row: interrupt it at will.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402   # imports below the patch, which must come first
import argparse
import os
import platform
import sys
import time
from pathlib import Path

from tests.faults import interrupts, report
from tests.faults.cluster import Cluster
from tests.faults.frameworks import FRAMEWORKS
from tests.faults.play import Result, play_row
from tests.faults.row import Cell, Row
from tests.faults.rows import ROWS, absent
from tests.faults.small_disk import SmallDisk
from tests.faults.tier import Tier
from tests.support.node_files import find_server
from tests.support.rabbitmq import Node

CHECKOUT = Path(__file__).parents[2]
#: Rows in which other frameworks are tried beside ours.
COMPARED = ('N1', 'B1', 'L1', 'T1')
#: So many cells at a time on one node.
SIDE_BY_SIDE = 4


def main() -> int:
    """Play what is asked for; the exit code is 1 when a cell failed, 130 when it was interrupted."""
    asked = arguments()
    interrupts.to_main()
    playing = Playing(asked)
    interrupted = False
    try:
        for tier in tiers(asked):
            playing.play(tier)
    except KeyboardInterrupt:
        interrupted = True
    playing.report(ended=not interrupted)
    if asked.readme and not interrupted:
        report.put_into(CHECKOUT / 'README.md', (asked.into / 'summary.md').read_text())
    failed = sum(bool(result.broken) for result in playing.results)
    print(f'{playing.told()} {failed} failed. The report is in {asked.into}.')
    return 130 if interrupted else min(failed, 1)


def tiers(asked: argparse.Namespace) -> list[Tier]:
    """What is played one after the other: one tier, or the long one with each seed."""
    if not asked.long:
        return [Tier(full=not asked.quick, seed=asked.seed)]
    return [Tier(full=True, count=asked.count, seed=seed) for seed in seeds_of(asked.seeds)]


def seeds_of(text: str) -> list[int]:
    """Seeds with commas between, and ranges."""
    ranges = [part.partition('-') for part in text.split(',')]
    return [seed for first, _, last in ranges for seed in range(int(first), int(last or first) + 1)]


class Playing:
    """Plays rows, and keeps the report up to date.

    Args:
        asked: what the command line asks for.

    Attributes:
        results: of all cells so far.
    """

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.missing = absent()
        self.results: list[Result] = []
        self.began = time.monotonic()

    def play(self, tier: Tier) -> None:
        """Play every row that is asked for, each on the node that it needs."""
        print(f'seed {tier.seed}', flush=True)
        rows = [row for row in chosen(self.asked.rows) if row.id not in self.missing]
        for kind in (Node, SmallDisk, Cluster):
            if here := [row for row in rows if node_of(row) is kind]:
                with kind() as node:
                    for row in here:
                        self._play_row(row, node, tier)

    def told(self) -> str:
        """A line of what was played."""
        asked = self.asked
        numbers = 'small' if asked.quick else f'long (N = {asked.count})' if asked.long else 'full'
        seeds = f'seeds {asked.seeds}' if asked.long else f'seed {asked.seed}'
        return (
            f'The {numbers} numbers in the modes {asked.modes or "all"}, {seeds}, '
            f'RabbitMQ {node_version()}, CPython {platform.python_version()}, {os.cpu_count()} cores, '
            f'{len(self.results)} cells in {(time.monotonic() - self.began) / 60:.0f} min.'
        )

    def report(self, *, ended: bool = False) -> None:
        """Write the report of what was played so far."""
        told = self.told() + ' Not played to its end.' * (not ended)
        report.write(self.asked.into, self.results, self.missing, told)

    def _play_row(self, row: Row, node: Node, tier: Tier) -> None:
        for cells in batches(row, self.asked):
            for result in play_row(row, cells, node, tier):
                self.results.append(result)
                say(result)
            self.report()


def node_of(row: Row) -> type[Node]:
    """What a row is played on."""
    if row.cluster:
        return Cluster
    return SmallDisk if row.small_disk else Node


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--rows', default='', help='ids with commas between; default: all')
    parser.add_argument('--modes', default='', help='modes with commas between; default: all')
    parser.add_argument('--queues', default='classic,quorum', help='queue types')
    parser.add_argument('--frameworks', default='greenmicro', help=f'of {", ".join(FRAMEWORKS)}')
    parser.add_argument('--seed', type=int, default=1, help='of the chances that are taken')
    parser.add_argument('--long', action='store_true', help='the long tier')
    parser.add_argument('--count', type=int, default=20_000, help='N of the long tier, messages a cell')
    parser.add_argument('--seeds', default='1-20', help='of the long tier, with commas and ranges')
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
