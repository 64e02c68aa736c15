"""The table of all rows."""

from tests.faults.row import Row
from tests.faults.rows import broker, children, host, life, messages, network, targets, topology

ROWS: dict[str, Row] = {
    row.id: row
    for module in (network, broker, topology, messages, targets, children, life, host)
    for row in module.ROWS
}


def absent() -> dict[str, str]:
    """The rows of the table that cannot be injected on this machine, each with its reason."""
    return {}
