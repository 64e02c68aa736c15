"""The quick tier, rows that leave the broker alone: side by side on one node."""

from collections.abc import Iterator

import pytest

from tests.faults.play import Batch
from tests.faults.quick import cells_of, quick_rows
from tests.support.rabbitmq import Node

ROWS = {row.id: row for row in quick_rows(own_node=False)}
SIDE_BY_SIDE = 4


@pytest.fixture(scope='module')
def batch(rabbitmq: Node) -> Iterator[Batch]:
    """All rows of this file, begun in their order and a few at a time."""
    batch = Batch(rabbitmq, SIDE_BY_SIDE)
    batch.begin([(row, cells_of(row)) for row in ROWS.values()])
    yield batch
    batch.close()


@pytest.mark.parametrize('row', ROWS)
def test_row(row: str, batch: Batch) -> None:
    """No figure breaks its limit."""
    for result in batch.results(row):
        assert not result.broken, result
