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
#: Those that are tried in every mode: four services share each start of the broker.
IN_ALL_MODES = ('B1', 'B2')
#: The ids of all its rows.
QUICK = [row.id for row in ROWS.values() if row.quick]


def cells_of(row: Row) -> list[Cell]:
    """The cells in which the quick tier tries a row: one for each place, or for each mode."""
    number = list(ROWS).index(row.id) % len(PAIRS)
    pairs = PAIRS[number]
    if row.id in IN_ALL_MODES:
        pairs += PAIRS[number ^ 1]  # the two in which the modes and the queue types are the other ones
    cells = [Cell(OURS, *pair) for pair in pairs]
    return [cell for cell in cells if row.applies(cell)]
