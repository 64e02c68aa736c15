"""Play: rows in cells, side by side, each to its verdict."""

import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gevent
from gevent.event import AsyncResult
from gevent.pool import Pool

from tests.faults.evidence import evidence_of
from tests.faults.judge import Figures, verdict
from tests.faults.row import Cell, Row
from tests.faults.scene import Scene
from tests.faults.tier import QUICK, Tier
from tests.faults.together import Together
from tests.support.rabbitmq import Node

TAIL = 6000


@dataclass(frozen=True)
class Result:
    """A line of the report.

    Attributes:
        row: its id.
        title: the fault.
        framework: what was judged.
        mode: in which mode.
        queue_type: on which queues.
        figures: what was counted.
        broken: a sentence for each limit that was broken; none: it passed.
        took_s: how long it took.
        output: the end of what the services printed.
        seed: of what was left to chance.
    """

    row: str
    title: str
    framework: str
    mode: str
    queue_type: str
    figures: Figures
    broken: list[str]
    took_s: float
    output: str
    seed: int = 1

    def as_json(self) -> dict[str, Any]:
        """Plain values; of the output only where it explains a failure."""
        values = asdict(self)
        values['output'] = self.output if self.broken else ''
        return values


def play(row: Row, cell: Cell, node: Node, together: Together, tier: Tier = QUICK) -> Result:
    """Play a row in a cell and judge it; whatever goes wrong in it is part of the verdict."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix='faults-') as folder:
        scene = Scene(row, cell, node, Path(folder), together, tier)
        try:
            with scene:
                try:
                    row.play(scene)
                    scene.finish()
                except Exception as error:
                    scene.remarks.append(f'not played to its end: {type(error).__name__}: {error}')
                scene.collect()
        except Exception as error:
            scene.remarks.append(f'no stock could be taken: {type(error).__name__}: {error}')
        finally:
            together.leave()
        figures, broken = verdict(evidence_of(scene), row.limits)
        output = scene.output()[-TAIL:]
    took_s = time.monotonic() - began
    place = (cell.framework.name, cell.mode, cell.queue_type)
    return Result(row.id, row.title, *place, figures, broken, took_s, output, tier.seed)


def play_row(row: Row, cells: Iterable[Cell], node: Node, tier: Tier = QUICK) -> list[Result]:
    """Play a row in several cells at the same time on the same node."""
    listed = list(cells)
    together = Together(len(listed))
    greenlets = [gevent.spawn(play, row, cell, node, together, tier) for cell in listed]
    try:
        return [greenlet.get() for greenlet in greenlets]
    finally:
        gevent.killall(greenlets)  # of whom none runs, but at an interrupt


class Batch:
    """Plays rows side by side; results are asked for one by one.

    Args:
        node: for all of them.
        side_by_side: how many rows at a time.
    """

    def __init__(self, node: Node, side_by_side: int) -> None:
        self.node = node
        self.pool = Pool(side_by_side)
        self.started: dict[str, AsyncResult[Any]] = {}
        self.starter: Any = None

    def begin(self, played: Iterable[tuple[Row, list[Cell]]]) -> None:
        """Start them in their order; returns at once."""
        listed = list(played)
        self.started = {row.id: AsyncResult() for row, _ in listed}
        self.starter = gevent.spawn(self._start, listed)

    def results(self, row: str) -> list[Result]:
        """Wait for a row."""
        results: list[Result] = self.started[row].get().get()
        return results

    def close(self) -> None:
        """End what still plays."""
        self.starter.kill()
        self.pool.kill()

    def _start(self, listed: list[tuple[Row, list[Cell]]]) -> None:
        for row, cells in listed:
            self.started[row.id].set(self.pool.spawn(play_row, row, cells, self.node))
