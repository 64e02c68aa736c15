"""Cells meet: an action is done once, when all have come, and nobody waits for one that has left."""

import gevent
import pytest

from tests.faults.together import Together


def test_once_when_all_have_come() -> None:
    """Two cells ask; nothing is done before the second has, and it is done once."""
    together, done = Together(2), []
    first = gevent.spawn(together, lambda: done.append(1))
    gevent.sleep(0)
    assert not done
    together(lambda: done.append(2))
    first.get(timeout=5)
    assert done == [1]


def test_a_cell_that_leaves_is_not_waited_for() -> None:
    """The action is done when the last one that has not come leaves."""
    together, done = Together(2), []
    first = gevent.spawn(together, lambda: done.append(1))
    gevent.sleep(0)
    together.leave()
    first.get(timeout=5)
    assert done == [1]


def test_an_action_that_fails_fails_for_all() -> None:
    """Each cell gets the error."""
    together = Together(2)

    def fail() -> None:
        raise ValueError('as told')

    first = gevent.spawn(together, fail)
    gevent.sleep(0)
    with pytest.raises(ValueError, match='as told'):
        together(fail)
    with pytest.raises(ValueError, match='as told'):
        first.get(timeout=5)
