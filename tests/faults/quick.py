"""The quick tier: a fixed list of rows, each in one cell per place, with modes and queue types in turn."""

from tests.faults.frameworks import FRAMEWORKS
from tests.faults.row import Cell, Row
from tests.faults.rows import ROWS

OURS = FRAMEWORKS['greenmicro']
#: Each place with each queue type, and each mode in every second row.
PAIRS = (
    (('thread', 'classic'), ('process', 'quorum')),
    (('greedy_thread', 'quorum'), ('greedy_process', 'classic')),
    (('thread', 'quorum'), ('process', 'classic')),
    (('greedy_thread', 'classic'), ('greedy_process', 'quorum')),
)


def cells_of(row: Row) -> list[Cell]:
    """The cells in which the quick tier tries a row: one for each place where it applies."""
    number = list(ROWS).index(row.id)
    cells = [Cell(OURS, *pair) for pair in PAIRS[number % len(PAIRS)]]
    return [cell for cell in cells if row.applies(cell)]


def quick_rows(*, own_node: bool) -> list[Row]:
    """The rows of the quick tier, those that need a broker of their own or the others."""
    return [row for row in ROWS.values() if row.quick and row.own_node is own_node]
