"""Unsettled: which acks are sent, and when."""

from __future__ import annotations

from greenmicro.cli.unsettled import Unsettled


def of(*tags: int) -> Unsettled:
    """So many deliveries."""
    made = Unsettled()
    for tag in tags:
        made.add(tag)
    return made


def test_one_ack_for_all() -> None:
    """What is done up to the first that is not goes in one."""
    held = of(1, 2, 3, 4)
    for tag in (2, 1, 3):
        held.done(tag)
    assert held.unsent == 3
    assert list(held.acks()) == [(3, True)]
    assert (len(held), held.unsent, held.first) == (1, 0, 4)
    assert list(held.acks()) == []


def test_what_is_on_its_way_is_waited_for() -> None:
    """Those behind it go with it, in one."""
    held = of(1, 2, 3)
    held.done(2)
    held.done(3)
    assert list(held.acks()) == []
    held.done(1)
    assert list(held.acks()) == [(3, True)]
    assert len(held) == 0


def test_what_stays_is_not_acked() -> None:
    """Those behind it go one by one."""
    held = of(1, 2, 3, 4, 5)
    held.keep()
    for tag in (5, 1, 4, 2):
        held.done(tag)
    assert list(held.acks()) == [(2, True), (4, False), (5, False)]
    assert (len(held), held.first) == (1, 3)
    held.drop(3)
    assert len(held) == 0
