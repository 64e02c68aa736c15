"""How the end of a process is told."""

import pytest

from greenmicro.pools.endings import end_of


@pytest.mark.parametrize(
    ('code', 'words'),
    [
        (0, 'exited with code 0'),
        (3, 'exited with code 3'),
        (-9, 'killed by SIGKILL'),
        (-40, 'killed by signal 40'),
    ],
)
def test_an_end_is_told_in_words(code: int, words: str) -> None:
    assert end_of(code) == words
