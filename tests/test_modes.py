"""The worker modes: two axes, and each combination of them."""

from __future__ import annotations

import pytest

from greenmicro.modes import WORKER_MODES


@pytest.mark.parametrize(
    ('name', 'place', 'drains'),
    [
        ('thread', 'greenlet', False),
        ('greedy_thread', 'greenlet', True),
        ('process', 'child', False),
        ('greedy_process', 'child', True),
    ],
)
def test_modes_are_two_axes(name: str, place: str, drains: bool) -> None:
    """Each mode is a place and whether it drains, under its own name."""
    mode = WORKER_MODES[name]
    assert (mode.name, mode.place, mode.drains) == (name, place, drains)


def test_there_are_no_others() -> None:
    """Four names, for four combinations."""
    assert len(WORKER_MODES) == len({mode[1:] for mode in WORKER_MODES.values()}) == 4
