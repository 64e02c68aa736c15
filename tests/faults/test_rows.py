"""The quick tier: each row once in each place, played in a process beside the other tests."""

import pytest

from tests.faults.player import Player
from tests.faults.quick import QUICK


@pytest.mark.parametrize('row', QUICK)
def test_row(row: str, player: Player) -> None:
    """No figure breaks its limit."""
    for result in player.results(row):
        assert not result['broken'], result
