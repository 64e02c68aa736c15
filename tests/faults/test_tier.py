"""The seed of the long tier decides, and decides the same again; the short tiers are left alone."""

import itertools

from tests.faults.tier import FEWEST, FIRST, LAST, MOST, QUICK, Course, Tier

LONG = Tier(full=True, count=20_000, seed=1)


def drawn(tier: Tier, row: str = 'N1', cell: str = 'thread') -> tuple[object, ...]:
    """All that is decided for a cell."""
    course = Course(tier, row, cell)
    pauses = list(itertools.islice(course.pauses(0.01), 50))
    return course.rounds, course.lanes, course.link_seed, course.moments(100), course.some(10, 3), pauses


def test_a_seed_decides_the_same_again() -> None:
    """Two courses with one seed agree in everything; another seed has other moments and numbers."""
    assert drawn(LONG) == drawn(LONG)
    other = drawn(Tier(full=True, count=20_000, seed=2))
    assert all(ours != theirs for ours, theirs in zip(drawn(LONG)[2:5], other[2:5], strict=True))


def test_cells_of_a_row_meet_as_often() -> None:
    """How often the fault comes is the same in each cell of a row; when, is not."""
    first, second = Course(LONG, 'B1', 'thread'), Course(LONG, 'B1', 'process')
    assert first.rounds == second.rounds
    assert first.moments(100) != second.moments(100)


def test_the_fault_comes_within_the_load() -> None:
    """Each time between the first and the last part of it, and as often as drawn, for any seed."""
    for seed in range(50):
        moments = Course(Tier(full=True, count=1000, seed=seed), 'N1', 'thread').moments(100)
        assert FEWEST <= len(moments) <= MOST
        assert int(FIRST * 1000) <= moments[0]
        assert moments[-1] <= LAST * 1000
        assert moments == sorted(moments)


def test_short_tiers_have_their_own_numbers() -> None:
    """One fault, few messages, an even pause, one message at a time."""
    course = Course(QUICK, 'N1', 'thread')
    assert (course.rounds, course.lanes, course.moments(100), course.some(10, 3)) == (1, 1, [100], 10)
    assert set(itertools.islice(course.pauses(0.01), 9)) == {0.01}
    assert course.patience(15, 1000) == 15
