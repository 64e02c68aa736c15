"""Alarm: SIGALRM strikes while the target runs, and at no other time."""

from __future__ import annotations

import logging
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greenmicro.alarm import Alarm
from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.errors import TargetTimeoutError
from greenmicro.messages import SUCCEEDED, Outcome, Reason
from greenmicro.progress import Progress
from greenmicro.routes import Route
from greenmicro.workers import Place, Worker
from tests.fakes import message, settings, tasks
from tests.support.patience import PATIENCE_S


class FakePipe:
    """Is in use when it is told so."""

    def __init__(self) -> None:
        self.in_use = False

    def is_in_use(self) -> bool:
        return self.in_use

    def publish(self, publication: Any) -> None:
        raise AssertionError


@pytest.fixture
def pipe() -> FakePipe:
    return FakePipe()


@pytest.fixture
def alarm(pipe: FakePipe) -> Iterator[Alarm]:
    """An alarm of this process; SIGALRM is as it was afterwards."""
    before = signal.getsignal(signal.SIGALRM)
    yield Alarm(pipe, Progress())  # type: ignore[arg-type]
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def worker(alarm: Alarm, target: Callable[..., Any], timeout_s: float, **route: Any) -> Worker:
    """A worker whose time limits are the alarm's, as in a child."""
    place = Place(settings(), alarm.pipe.publish, alarm.limit)
    built = Route('fake_tasks.target', timeout_s=timeout_s, **route).worker_for('e', place, None, False)
    with tasks(target=target):
        built.prepare()
    return built


def reason(outcome: Outcome) -> str | None:
    return outcome.failure and outcome.failure.reason


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_a_loop_is_interrupted(alarm: Alarm) -> None:
    """Though it waits for nothing; the traceback shows where it was."""
    outcome = worker(alarm, lambda payload: busy(10), 0.02).run(message())
    assert reason(outcome) == Reason.TIMEOUT
    assert outcome.failure is not None
    assert 'in busy' in outcome.failure.traceback


def test_the_service_sees_when_the_call_begins_and_ends(alarm: Alarm) -> None:
    """However the call ends."""
    seen: list[float] = []

    def target(payload: Any) -> None:
        seen.append(alarm.progress.call_began_s)
        raise ZeroDivisionError

    before = time.monotonic()
    worker(alarm, target, 1).run(message())
    assert before <= seen[0] <= time.monotonic()
    assert alarm.progress.call_began_s == 0


def test_no_late_alarm_strikes(alarm: Alarm) -> None:
    """Three thousand calls end within a hair of their limit; what they leave, and what follows, is unharmed.

    Each that is charged took its time, and its dependency was told; no other was told anything.
    """
    chance = random.Random(1)
    told: list[WorkerContext] = []

    class Leaving(Dependency):
        def provide(self, context: WorkerContext) -> Iterator[Any]:
            try:
                yield
            except TargetTimeoutError:
                told.append(context)
            busy(0.0001)  # where a late one would find it

    def target(payload: Any, leaving: Any) -> None:
        if chance.random() < 0.9:  # the others end in time on the slowest machine
            busy(0.0003 + chance.uniform(-0.00008, 0.00004))

    running = worker(alarm, target, 0.0003, dependencies={'leaving': Leaving()})
    charged = []
    for _ in range(3_000):
        began = time.monotonic()
        outcome = running.run(message())
        if outcome is not SUCCEEDED:
            charged.append(outcome)
            assert time.monotonic() - began > 0.0003
    assert {reason(outcome) for outcome in charged} == {Reason.TIMEOUT}
    assert len(charged) == len(told) < 3_000


def test_an_alarm_that_is_on_its_way_when_the_call_ends_means_no_other_call(alarm: Alarm) -> None:
    """It is early for the next one, which runs its time."""

    def target(payload: Any) -> None:
        signal.raise_signal(signal.SIGALRM)

    assert worker(alarm, target, 5).run(message()) is SUCCEEDED
    signal.raise_signal(signal.SIGALRM)


@pytest.mark.parametrize('name', [None, 7])
def test_a_loop_in_a_namespace_without_a_proper_name_is_interrupted(name: Any, alarm: Alarm) -> None:
    """As one that a target has made for exec()."""
    source = 'import time\nend = time.monotonic() + 10\nwhile time.monotonic() < end: pass'

    def target(payload: Any) -> None:
        exec(source, {'__name__': name})

    outcome = worker(alarm, target, 0.02).run(message())
    assert reason(outcome) == Reason.TIMEOUT
    assert outcome.failure is not None
    assert 'TargetTimeoutError' in outcome.failure.error


@pytest.mark.parametrize('where', ['on the pipe', 'in a log line', 'in an import'])
def test_it_waits_where_it_would_spoil_something(
    where: str, alarm: Alarm, pipe: FakePipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It strikes as soon as that is over."""
    over: list[str] = []

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            busy(0.3)
            over.append(where)

    def target(payload: Any) -> None:
        if where == 'on the pipe':
            pipe.in_use = True
            busy(0.3)
            over.append(where)
            pipe.in_use = False
        elif where == 'in a log line':
            logger = logging.Logger('slow')
            logger.addHandler(Slow())
            logger.warning('slowly')
        else:
            import slow_module  # type: ignore[import-not-found]

            over.append(slow_module.__name__)
        busy(10)

    (tmp_path / 'slow_module.py').write_text('from tests.test_alarm import busy\nbusy(0.3)\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    outcome = worker(alarm, target, 0.2).run(message())
    sys.modules.pop('slow_module', None)
    assert reason(outcome) == Reason.TIMEOUT
    assert len(over) == 1


def test_a_handler_and_a_timer_that_were_there_go_on_afterwards(alarm: Alarm) -> None:
    """They rest during the call."""
    rung = threading.Event()
    signal.signal(signal.SIGALRM, lambda *_: rung.set())
    signal.setitimer(signal.ITIMER_REAL, 0.15)
    outcome = worker(alarm, lambda payload: busy(10), 0.3).run(message())
    assert reason(outcome) == Reason.TIMEOUT
    assert not rung.is_set()
    assert rung.wait(PATIENCE_S)


def test_a_target_that_takes_the_alarm_for_itself_is_not_interrupted(alarm: Alarm) -> None:
    """The next one is."""
    rung: list[int] = []

    def own(payload: Any) -> None:
        signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        busy(0.3)

    assert worker(alarm, own, 0.2).run(message()) is SUCCEEDED
    assert rung == [signal.SIGALRM]
    assert reason(worker(alarm, lambda payload: busy(10), 0.02).run(message())) == Reason.TIMEOUT


def test_it_is_left_alone_in_a_process_that_a_target_forked(alarm: Alarm) -> None:
    """An alarm of that process ends it, as anywhere."""

    def target(payload: Any) -> None:
        alarm.leave()

    assert worker(alarm, target, 5).run(message()) is SUCCEEDED
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
