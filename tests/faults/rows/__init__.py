"""The table of all rows."""

from tests.faults.row import Row
from tests.faults.rows import broker, life, messages, network, topology

ROWS: dict[str, Row] = {
    row.id: row for module in (network, broker, topology, messages, life) for row in module.ROWS
}
