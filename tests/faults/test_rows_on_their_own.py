"""The quick tier, rows that the whole broker suffers: one after the other on a node of their own."""

from collections.abc import Iterator

import pytest

from tests.faults.play import play_row
from tests.faults.quick import cells_of, quick_rows
from tests.support.rabbitmq import Node

ROWS = {row.id: row for row in quick_rows(own_node=True)}


@pytest.fixture(scope='module')
def node() -> Iterator[Node]:
    """A node of this file's own, to kill."""
    with Node() as node:
        yield node


@pytest.mark.parametrize('row', ROWS)
def test_row(row: str, node: Node) -> None:
    """No figure breaks its limit."""
    for result in play_row(ROWS[row], cells_of(ROWS[row]), node):
        assert not result.broken, result
