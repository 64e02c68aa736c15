"""Pending: what waits is taken in turns, once each, and only while it is ours."""

from __future__ import annotations

from collections import Counter

import pytest

from greenmicro.messages import Message
from greenmicro.pools.base import SWEEP_FROM, Job, Pending
from tests.fakes import Recorder, message


@pytest.fixture
def pending() -> Pending:
    return Pending()


def taken(pending: Pending) -> list[Job]:
    jobs = []
    while (job := pending.take()) is not None:
        jobs.append(job)
    return jobs


def messages(count: int) -> list[Message]:
    return [message(number) for number in range(count)]


def test_nothing_waits_at_first(pending: Pending) -> None:
    """There is nothing to take or to clear."""
    assert len(pending) == 0
    assert not pending
    assert pending.take() is None
    assert pending.clear() == []


def test_one_entrypoints_messages_keep_their_order(pending: Pending) -> None:
    """First in, first out."""
    entrypoint, given = Recorder(), messages(5)
    for one in given:
        pending.put(entrypoint, one)
    assert len(pending) == 5
    assert taken(pending) == [Job(entrypoint, one) for one in given]
    assert len(pending) == 0


def test_a_thousand_hold_one_up_by_one_turn(pending: Pending) -> None:
    """Entrypoints take turns, however many messages each has."""
    busy, quiet = Recorder(), Recorder()
    for one in messages(1_000):
        pending.put(busy, one)
    pending.put(quiet, message('single'))
    assert [job.entrypoint for job in taken(pending)][:3] == [busy, quiet, busy]


def test_turns_are_shared_by_all(pending: Pending) -> None:
    """Of the first three hundred taken, each of three has a hundred."""
    entrypoints = [Recorder(), Recorder(), Recorder()]
    for entrypoint in entrypoints:
        for one in messages(200):
            pending.put(entrypoint, one)
    first = Counter(job.entrypoint for job in taken(pending)[:300])
    assert [first[entrypoint] for entrypoint in entrypoints] == [100, 100, 100]


def test_who_comes_back_joins_the_end_of_the_round(pending: Pending) -> None:
    """One that was empty and gets more waits for those that were not."""
    first, second, third = Recorder(), Recorder(), Recorder()
    pending.put(first, message(1))
    assert pending.take() is not None
    for entrypoint in (second, third, first):
        pending.put(entrypoint, message())
    assert [job.entrypoint for job in taken(pending)] == [second, third, first]


def test_what_is_no_longer_ours_is_dropped(pending: Pending) -> None:
    """The next one is taken in its place; when none is left, none."""
    entrypoint, given = Recorder(), messages(4)
    entrypoint.refused = [given[0], given[1], given[3]]
    for one in given:
        pending.put(entrypoint, one)
    assert taken(pending) == [Job(entrypoint, given[2])]
    assert len(pending) == 0


def test_what_lost_channels_leave_does_not_pile_up(pending: Pending) -> None:
    """While no worker is free: a hundred channels that are lost, with twelve messages waiting on each."""
    entrypoint, quiet = Recorder(), Recorder()
    pending.put(quiet, message('quiet'))
    for _ in range(100):
        held = messages(12)
        for one in held:
            pending.put(entrypoint, one)
        assert len(pending) <= SWEEP_FROM
        entrypoint.refused += held
    assert not entrypoint.asked
    entrypoint.refused = entrypoint.refused[:-12]
    assert [job.message for job in taken(pending) if job.entrypoint is entrypoint] == held
    assert len(pending) == 0


def test_an_entrypoint_all_of_whose_line_is_gone_has_no_turn(pending: Pending) -> None:
    """It gets one again with its next message."""
    lost, kept = Recorder(), Recorder()
    lost.refused = messages(SWEEP_FROM - 1)
    for one in lost.refused:
        pending.put(lost, one)
    given = message('kept')
    pending.put(kept, given)
    assert len(pending) == 1
    assert taken(pending) == [Job(kept, given)]
    pending.put(lost, given)
    assert taken(pending) == [Job(lost, given)]


def test_many_that_are_ours_are_seldom_looked_through(pending: Pending) -> None:
    """Each is asked about once or twice, however many wait."""
    asked = 0

    class Counting(Recorder):
        def holds(self, message: Message) -> bool:
            nonlocal asked
            asked += 1
            return True

    entrypoint, given = Counting(), messages(5_000)
    for one in given:
        pending.put(entrypoint, one)
    assert 0 < asked < 2 * len(given)
    assert [job.message for job in taken(pending)] == given


def test_a_job_can_be_put_back_first(pending: Pending) -> None:
    """Its entrypoint's line goes on with it; an empty line is next in turn."""
    first, second = Recorder(), Recorder()
    given = messages(3)
    for one in given:
        pending.put(first, one)
    pending.put(second, message('other'))
    job = pending.take()
    assert job is not None
    pending.put_first(job)
    assert len(pending) == 4
    assert [one.message for one in taken(pending) if one.entrypoint is first] == given
    pending.put(second, message('other'))
    pending.put_first(Job(first, given[0]))
    assert pending.take() == Job(first, given[0])
    assert len(pending) == 1


def test_all_can_be_cleared_at_once(pending: Pending) -> None:
    """Without asking whether they are ours: a consumer knows what to do with each."""
    entrypoint, other = Recorder(), Recorder()
    given = messages(3)
    entrypoint.refused = [given[0]]
    for one in given:
        pending.put(entrypoint, one)
    pending.put(other, given[0])
    assert pending.clear() == [*(Job(entrypoint, one) for one in given), Job(other, given[0])]
    assert len(pending) == 0
    assert pending.take() is None
    pending.put(entrypoint, given[1])
    assert pending.take() == Job(entrypoint, given[1])
