"""Several short jobs at a time with a child: what waits behind another one is as free as what waits here."""

import json
import os
import signal
from pathlib import Path

import gevent
import pytest

from greenmicro.amqp.dependencies import Producer
from greenmicro.messages import NOT_RUN, SUCCEEDED, Message, Outcome, Reason
from greenmicro.pools.children import Child
from greenmicro.pools.paces import Paces
from tests.pools.processes.parts import TIMEOUT_S, MakePool, Published, Recorder, message, own_children

#: A target that does what its message says, and as a rule nothing.
MIXED = """
import os, pathlib, signal, time
log = pathlib.Path(__file__).with_name('ran')

def target(payload, producer):
    with log.open('a') as file: file.write(f'{payload[0]} {os.getpid()}\\n')
    if payload[1] == 'wait':
        producer('waits', os.getpid())
        while True: signal.pause()
    if payload[1] == 'die': os.kill(os.getpid(), signal.SIGKILL)
    if payload[1] == 'fail': raise ValueError(payload[0])
    if payload[1] == 'publish': producer('event', payload[0])
"""


class Mixed(Recorder):
    """The entrypoint of that target; nobody waits for its results."""

    def __init__(self) -> None:
        super().__init__('mixed.target', replies=False, dependencies={'producer': Producer()})
        self.wrong: list[tuple[Message, Outcome]] = []

    def finished(self, message: Message, outcome: Outcome) -> None:
        what = json.loads(message.body)[1]
        if (outcome.failure is not None) != (what in {'fail', 'die'}):
            self.wrong.append((message, outcome))
        super().finished(message, outcome)


@pytest.fixture
def mixed(folder: Path) -> Mixed:
    (folder / 'mixed.py').write_text(MIXED)
    return Mixed()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many jobs were written at once, each time."""
    sizes: list[int] = []
    flush = Child.flush

    def counted(self: Child) -> None:
        sizes.append(len(self._unwritten))
        flush(self)

    monkeypatch.setattr(Child, 'flush', counted)
    return sizes


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """All jobs are taken for short ones, however slow this machine is just now."""
    monkeypatch.setattr(Paces, 'expect', lambda self, entrypoint: 0.0001)


def job(number: int, what: str = '') -> Message:
    return message([number, what])


def ran(folder: Path) -> list[list[int]]:
    """Number and process of each call."""
    return [list(map(int, line.split())) for line in (folder / 'ran').read_text().splitlines()]


def test_short_jobs_are_sent_many_at_a_time_once_they_are_known(
    start: MakePool, mixed: Mixed, batches: list[int]
) -> None:
    pool = start(mixed)
    with gevent.Timeout(TIMEOUT_S):
        while max(batches, default=1) == 1:  # until this machine runs a few of them within 5 ms
            for number in range(50):
                pool.submit(mixed, job(number))
            mixed.wait_for(len(mixed.outcomes) + 50)
    assert batches[0] == 1
    assert set(mixed.outcomes) == {SUCCEEDED}


@pytest.mark.usefixtures('_short')
def test_a_few_of_the_shortest_are_not_worth_waking_two_children_for(
    start: MakePool, mixed: Mixed, batches: list[int]
) -> None:
    """More of them are shared out."""
    pool = start(mixed, MAX_WORKERS=2)
    for number in range(5):
        pool.submit(mixed, job(number))
    mixed.wait_for(5)
    assert batches == [5]
    for number in range(20):
        pool.submit(mixed, job(number))
    mixed.wait_for(25)
    assert batches[:3] == [5, 10, 10]


def test_long_jobs_are_sent_one_by_one(folder: Path, start: MakePool, batches: list[int]) -> None:
    (folder / 'slow.py').write_text('import time\ndef target(payload): time.sleep(0.01)\n')
    slow = Recorder('slow.target', replies=False)
    pool = start(slow, MAX_WORKERS=2)
    for number in range(20):
        pool.submit(slow, job(number))
    slow.wait_for(20)
    assert set(batches) == {1}


@pytest.mark.usefixtures('_short')
def test_of_a_batch_each_outcome_is_its_own(folder: Path, start: MakePool, mixed: Mixed) -> None:
    """Of those that are told, and of those that are only marked."""
    pool = start(mixed)
    for number in range(200):
        pool.submit(mixed, job(number, 'fail' if number % 3 == 0 else ''))
    failures = [outcome.failure.error for outcome in mixed.wait_for(200) if outcome.failure]
    assert sorted(failures) == sorted(f'ValueError: {number}' for number in range(0, 200, 3))
    assert sorted(number for number, _ in ran(folder)) == [*range(200)]
    assert mixed.wrong == []


@pytest.mark.usefixtures('_short')
def test_only_the_job_that_was_started_is_charged_for_a_death(
    folder: Path, start: MakePool, mixed: Mixed
) -> None:
    """Those before it are done, those behind it run in another child; none twice."""
    pool = start(mixed)
    for number in range(100):
        pool.submit(mixed, job(number, 'die' if number % 30 == 20 else ''))
    failures = [outcome.failure for outcome in mixed.wait_for(100) if outcome.failure]
    assert [failure.reason for failure in failures] == [Reason.WORKER_LOST] * 3
    assert sorted(number for number, _ in ran(folder)) == [*range(100)]
    assert pool.wait_idle(TIMEOUT_S)
    assert len(mixed.outcomes) == 100


@pytest.mark.usefixtures('_short')
def test_jobs_that_wait_behind_a_long_one_go_to_another_child(
    folder: Path, start: MakePool, mixed: Mixed, published: Published, batches: list[int]
) -> None:
    """Within a few hundredths of a second, though nothing was known of it before."""
    pool = start(mixed, MAX_WORKERS=2)
    for number in range(40):
        pool.submit(mixed, job(number, 'wait' if number == 0 else ''))
    assert mixed.wait_for(39) == [SUCCEEDED] * 39
    assert max(batches) > 1
    [waiting] = published.wait_for()
    assert [number for number, pid in ran(folder) if pid == waiting] == [0]
    assert sorted(number for number, _ in ran(folder)) == [*range(40)]


@pytest.mark.usefixtures('_short')
def test_jobs_that_wait_behind_a_long_one_wait_in_the_pool_when_no_child_is_free(
    folder: Path, start: MakePool, mixed: Mixed, published: Published
) -> None:
    """They are pending again, and given back at the stop like any other."""
    pool = start(mixed)
    for number in range(40):
        pool.submit(mixed, job(number, 'wait' if number == 0 else ''))
    published.wait_for()
    with gevent.Timeout(TIMEOUT_S):
        while len(pool.pending) < 39:
            gevent.sleep(0.01)
    given_back = [json.loads(one.message.body) for one in pool.pending.clear()]
    assert given_back == [[number, ''] for number in range(1, 40)]
    pool.interrupt(1.0)
    assert mixed.outcomes == [NOT_RUN]
    assert pool.wait_idle(0)


@pytest.mark.usefixtures('_short')
def test_at_a_stop_what_a_child_has_not_started_is_given_back(
    folder: Path, start: MakePool, mixed: Mixed, published: Published
) -> None:
    """At once, though its child runs on; and uncharged."""
    pool = start(mixed)
    for number in range(40):
        pool.submit(mixed, job(number, 'wait' if number == 0 else ''))
    published.wait_for()
    pool.give_back()
    assert mixed.wait_for(39) == [NOT_RUN] * 39
    assert not pool.wait_idle(0)
    pool.interrupt(1.0)
    assert mixed.wait_for(40)[-1] == NOT_RUN
    assert pool.wait_idle(0)
    assert [number for number, _ in ran(folder)] == [0]


@pytest.mark.usefixtures('_short')
def test_targets_publish_while_other_jobs_wait_in_the_same_pipe(
    start: MakePool, mixed: Mixed, published: Published, batches: list[int]
) -> None:
    """The answer comes behind them."""
    pool = start(mixed)
    for number in range(20):
        pool.submit(mixed, job(number, 'publish'))
    assert published.wait_for(20) == [*range(20)]
    assert mixed.wait_for(20) == [SUCCEEDED] * 20
    assert max(batches) > 1


@pytest.mark.usefixtures('_short')
def test_a_child_that_is_stopped_with_jobs_before_it_loses_none(
    folder: Path, start: MakePool, mixed: Mixed
) -> None:
    """And none is charged, or run twice."""
    pool = start(mixed, MAX_WORKERS=2)
    for number in range(150):
        pool.submit(mixed, job(number))
    mixed.wait_for(50)
    victim = ran(folder)[-1][1]
    os.kill(victim, signal.SIGSTOP)
    for number in range(150, 300):
        pool.submit(mixed, job(number))
    mixed.wait_for(290)
    if victim in own_children():  # it was stopped in the middle of a job, and not while it was idle
        os.kill(victim, signal.SIGCONT)
    mixed.wait_for(300)
    assert mixed.outcomes == [SUCCEEDED] * 300
    assert sorted(number for number, _ in ran(folder)) == [*range(300)]


def test_the_bodies_with_a_child_are_bounded(start: MakePool, batches: list[int]) -> None:
    """Large ones are sent one by one, however short their jobs are."""
    size = Recorder('jobs.size', replies=False)
    pool = start(size)
    for _ in range(10):
        pool.submit(size, Message(bytes(70_000), {'content_type': 'application/octet-stream'}))
    size.wait_for(10)
    assert set(batches) == {1}
