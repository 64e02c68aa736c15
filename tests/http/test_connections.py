"""Connections: who is over time is ended, and a stop waits for the answers."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import gevent
import pytest
from gevent import monkey
from gevent.event import Event

from greenmicro.http import connections
from greenmicro.http.connections import Connections

block_hub = monkey.get_original('time', 'sleep')


class Client:
    """A connection that says when it is ended."""

    def __init__(self, time_s: float = 60.0, answering: bool = False) -> None:
        self.deadline = monotonic() + time_s
        self.answering = answering
        self.ended = Event()

    def end(self) -> None:
        self.ended.set()


@pytest.fixture
def open_(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connections]:
    """All connections, looked at often."""
    monkeypatch.setattr(connections, 'LOOK_S', 0.01)
    them = Connections()
    them.start()
    yield them
    them.close(0)


def test_who_is_over_time_is_ended(open_: Connections) -> None:
    """The others stay."""
    late, early = Client(0.02), Client()
    open_.enter(late)
    open_.enter(early)
    assert late.ended.wait(20)
    assert not early.ended.is_set()


def test_time_in_which_the_hub_is_blocked_is_not_the_clients(open_: Connections) -> None:
    """It has what was left of its own."""
    gevent.sleep(0)  # it looks
    client = Client(0.2)
    open_.enter(client)
    block_hub(0.3)
    ended_at = []
    client.ended.rawlink(lambda _: ended_at.append(monotonic()))
    before = client.deadline
    assert client.ended.wait(20)
    assert client.deadline > before + 0.25
    assert ended_at[0] > before + 0.25


def test_a_stop_ends_those_that_wait_for_nothing(open_: Connections) -> None:
    """The others are ended by the close, once they have their answers."""
    idle, busy = Client(), Client(answering=True)
    open_.enter(idle)
    open_.enter(busy)
    open_.stop()
    assert open_.stopping
    assert idle.ended.is_set()
    assert not busy.ended.is_set()
    closing = gevent.spawn(open_.close, 20)
    gevent.sleep(0)
    assert not busy.ended.is_set()
    busy.answering = False
    open_.tell_answered()
    closing.get(timeout=10)
    assert busy.ended.is_set()


def test_a_close_does_not_wait_for_ever(open_: Connections) -> None:
    """What has no answer by then is ended."""
    busy = Client(answering=True)
    open_.enter(busy)
    open_.close(0.02)
    assert busy.ended.is_set()
