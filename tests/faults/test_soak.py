"""The soak's measures tell a leak from none."""

import os

import pytest

from tests.faults.soak.leaks import Leaks

FIRST = Leaks(memory=1000, descriptors=8, threads=2, children=2)


def test_no_leak() -> None:
    """Less of anything, and memory up to a tenth more, is none."""
    assert Leaks(1100, 8, 1, 2).against(FIRST) == []


@pytest.mark.parametrize(
    ('last', 'told'),
    [
        (Leaks(1101, 8, 2, 2), 'memory 1000 before, 1101 now'),
        (Leaks(1000, 9, 2, 2), 'descriptors 8 before, 9 now'),
        (Leaks(1000, 8, 3, 2), 'threads 2 before, 3 now'),
        (Leaks(1000, 8, 2, 3), 'children 2 before, 3 now'),
    ],
)
def test_a_leak(last: Leaks, told: str) -> None:
    """More of one is told, with both figures."""
    assert last.against(FIRST) == [told]


def test_a_process_is_measured() -> None:
    """Of this process: some memory, some descriptors, and a new descriptor shows."""
    before = Leaks.of(os.getpid())
    reading, writing = os.pipe()
    try:
        assert Leaks.of(os.getpid()).descriptors == before.descriptors + 2
    finally:
        os.close(reading)
        os.close(writing)
    assert before.memory > 1_000_000
