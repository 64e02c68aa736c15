"""What the tests of the greenlet pool share: what they submit and how they look at it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from gevent.event import Event

from greenmicro import codecs
from greenmicro.messages import Outcome
from greenmicro.pools.greenlets import GreenletPool
from tests.fakes import Recorder, message

TIMEOUT_S = 60.0
#: Races are run a few times in every run, and a hundred times with REPEATS=100.
often = pytest.mark.parametrize('turn', range(int(os.environ.get('REPEATS', '10'))))
Start = Callable[..., GreenletPool]


def recorder(pool: GreenletPool) -> Recorder:
    found = pool.entrypoints[0]
    assert isinstance(found, Recorder)
    return found


def submit(pool: GreenletPool, *payloads: Any) -> None:
    for payload in payloads:
        pool.submit(pool.entrypoints[0], message(payload))


def settled(pool: GreenletPool) -> list[Any]:
    return [codecs.decode(received) for received, _, _ in recorder(pool).settled]


def failure_of(outcome: Outcome) -> Any:
    assert outcome.failure is not None
    return outcome.failure


def noop(payload: Any) -> None:
    pass


class Gate:
    """A target that waits until it is let on, and knows how many wait."""

    def __init__(self) -> None:
        self.open, self.arrived = Event(), Event()
        self.inside, self.most, self.expected = 0, 0, 1

    def __call__(self, payload: Any) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside == self.expected:
            self.arrived.set()
        try:
            self.open.wait()
        finally:
            self.inside -= 1

    def wait_for(self, expected: int) -> None:
        self.expected = expected
        self.arrived.clear()
        if self.inside != expected:
            assert self.arrived.wait(TIMEOUT_S)
