"""Paces: what is expected of the next job."""

from __future__ import annotations

import pytest

from greenmicro.pools.paces import UNKNOWN_S, Paces
from tests.fakes import Recorder


def test_of_a_new_entrypoint_nothing_is_known() -> None:
    assert Paces().expect(Recorder()) == UNKNOWN_S


def test_the_first_job_is_the_measure() -> None:
    """Each entrypoint has its own."""
    paces, quick, slow = Paces(), Recorder(), Recorder()
    paces.note(quick, 0.001)
    paces.note(slow, 10)
    assert paces.expect(quick) == 0.001
    assert paces.expect(slow) == 10


def test_one_long_job_among_short_ones_counts_for_a_while() -> None:
    paces, entrypoint = Paces(), Recorder()
    paces.note(entrypoint, 0.001)
    paces.note(entrypoint, 1)
    assert paces.expect(entrypoint) == pytest.approx(1 / 16, rel=0.1)
    for _ in range(100):
        paces.note(entrypoint, 0.001)
    assert paces.expect(entrypoint) == pytest.approx(0.001, rel=0.2)
