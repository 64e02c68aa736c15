"""Pack: all rows of the table, drawn by chance, each played in the soaked service or beside it."""

import random
import time
from collections.abc import Callable

from tests.faults.play import play
from tests.faults.row import Cell, Row
from tests.faults.rows import ROWS, absent
from tests.faults.soak import deaths, links, messages
from tests.faults.soak.result import Fault
from tests.faults.soak.soaked import Soaked
from tests.faults.tier import Tier
from tests.faults.together import Together

#: How a row's fault is done to a service that runs under load.
FAULTS: dict[str, Callable[[Soaked], object]] = {**links.FAULTS, **messages.FAULTS, **deaths.FAULTS}
#: What takes most memory, greenlets and descriptors, and goes: once in each life before it is measured.
WARM_UP = ('N1', 'M4', 'M5', 'M6', 'M7', 'T1', 'T2', 'Q5', 'Q8', 'H2')


def warm_up(soaked: Soaked) -> None:
    """What each life goes through before its first measure."""
    for row in WARM_UP:
        FAULTS[row](soaked)


class Pack:
    """Draws rows until all were drawn, and then anew.

    Args:
        soaked: the service.
        chances: of the order.
        rows: the ids to draw from; None for all.

    Attributes:
        faults: that were played.
        left_out: rows that cannot be played here, each with the reason.
    """

    def __init__(self, soaked: Soaked, chances: random.Random, rows: list[str] | None) -> None:
        self.soaked = soaked
        self.chances = chances
        self.left_out = {row: reason for row, reason in left_out().items() if row in (rows or ROWS)}
        self.rows = [row for row in rows or ROWS if row not in self.left_out]
        self.faults: list[Fault] = []
        self._left: list[str] = []

    def play_next(self) -> None:
        """Draw a row and play it; whatever goes wrong is noted and mended, and the soak goes on."""
        if not self._left:
            self._left = self.chances.sample(self.rows, len(self.rows))
        row = ROWS[self._left.pop()]
        fits = row.where in (None, self.soaked.scene.cell.place)
        publisher, remarks = self.soaked.scene.publisher, self.soaked.scene.remarks
        fault = Fault(row.id, not (fits and row.id in FAULTS), time.monotonic(), publisher.issued)
        self.faults.append(fault)
        before = len(remarks)
        self._attempt(lambda: self._play(row, fault))
        self._attempt(self.soaked.look_after)
        fault.took_s = time.monotonic() - fault.began
        remarks[before:] = [f'{row.id}, fault {len(self.faults)}: {told}' for told in remarks[before:]]
        fault.broken += remarks[before:]
        say(len(self.faults), fault, self.soaked)

    def _play(self, row: Row, fault: Fault) -> None:
        scene = self.soaked.scene
        if not fault.beside:
            FAULTS[row.id](self.soaked)
            return
        result = play(row, self._cell(row), scene.node, Together(1), Tier(seed=len(self.faults)))
        fault.counts.update({name: getattr(result.figures, name) for name in COUNTED})
        scene.remarks += [f'beside, {told}' for told in result.broken]
        if result.broken:
            print(result.output[-3000:])

    def _cell(self, row: Row) -> Cell:
        """The soaked service's own cell, or the nearest one where the row means something."""
        own = self.soaked.scene.cell
        cells = [
            own,
            *(
                Cell(own.framework, mode, kind)
                for mode in own.framework.modes
                for kind in ('quorum', 'classic')
            ),
        ]
        return next(cell for cell in cells if row.applies(cell))

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:
            self.soaked.scene.remarks.append(f'{type(error).__name__}: {error}')
            print(self.soaked.scene.output()[-3000:])
            self.soaked.mend()


COUNTED = ('sent', 'lost', 'duplicates', 'collateral')


def left_out() -> dict[str, str]:
    """Rows that cannot be played on the soaked service's node."""
    found = absent()
    for row in ROWS.values():
        if row.cluster:
            found[row.id] = 'needs three nodes'
        elif row.small_disk:
            found[row.id] = 'needs a node whose disk is small'
    return {row: reason for row, reason in found.items() if row in ROWS}


def say(number: int, fault: Fault, soaked: Soaked) -> None:
    """A line for each fault."""
    where = 'beside' if fault.beside else 'in it'
    told = '; '.join(fault.broken) or 'ok'
    sent = len(soaked.scene.publisher.confirmed)
    print(
        f'{number:4} {fault.row:4} {where:6} {fault.took_s:6.1f} s, {sent} sent, {soaked.life.last}: {told}',
        flush=True,
    )
