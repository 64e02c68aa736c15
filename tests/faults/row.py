"""Row: one promise of the table, and the cell that it is tried in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tests.faults.judge import Limits
from tests.faults.service import Service

if TYPE_CHECKING:
    from tests.faults.frameworks.base import Framework
    from tests.faults.scene import Scene


class Cell(NamedTuple):
    """Where a row is tried."""

    framework: Framework
    mode: str
    queue_type: str

    @property
    def place(self) -> str:
        """Where targets run: `thread` or `process`."""
        return self.framework.modes[self.mode]

    def __str__(self) -> str:
        return f'{self.framework.name}-{self.mode}-{self.queue_type}'


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        id: as in the table.
        title: the fault.
        play: does it to a scene, from the start of the service on; what still runs is stopped after it.
        service: what is under test.
        limits: what the figures may be.
        where: `thread` or `process` where it applies to one place only.
        queue_types: those on which it means something.
        own_node: whether the whole broker suffers, so that no other row may run on it meanwhile.
        cluster: whether it is played on three nodes; the service knows all of them.
        small_disk: whether it is played on a node whose disk is soon full.
        proxied: whether the service reaches the broker through the fault proxy.
        quick: whether it belongs to the quick tier.
    """

    id: str
    title: str
    play: Callable[[Scene], None]
    service: Service = field(default_factory=Service)
    limits: Limits = field(default_factory=Limits)
    where: str | None = None
    queue_types: tuple[str, ...] = ('classic', 'quorum')
    own_node: bool = False
    cluster: bool = False
    small_disk: bool = False
    proxied: bool = False
    quick: bool = True

    def applies(self, cell: Cell) -> bool:
        """Whether the row means anything in a cell."""
        known = cell.queue_type in self.queue_types and cell.queue_type in cell.framework.queue_types
        return known and self.where in (None, cell.place)
