"""Time limits in children: by an alarm in the child, and by its death when that is not heeded."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import gevent
import pytest
from gevent.event import Event

from greenmicro.amqp.dependencies import Producer
from greenmicro.messages import Failure, Outcome, Publication, Reason
from greenmicro.pools import deadlines
from tests.pools.processes.parts import (
    TIMEOUT_S,
    MakePool,
    Published,
    Recorder,
    is_gone,
    message,
    succeeded,
)

LIMIT_S = 0.1
LATE = """
import collections, itertools, os, re, signal, subprocess, time

def loop(payload):
    while True: pass
def wait(payload): time.sleep(1000)
def regex(payload): re.match(r'(a+)+$', 'a' * 40 + 'b')
def program(payload): subprocess.run(['sleep', '1000'])
def publish(payload, producer): producer('event', payload)

def loop_in_c(payload): collections.deque(itertools.repeat(0), maxlen=0)
def stop(payload): os.kill(os.getpid(), signal.SIGSTOP)
def ignore(payload):
    while True:
        try: time.sleep(1)
        except BaseException: pass
def block_it(payload):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGTERM])
    time.sleep(1000)
def take_it(payload):
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    time.sleep(1000)
def with_a_program(payload):
    open(payload, 'w').write(str(subprocess.Popen(['sleep', '1000']).pid))
    while True:
        try: time.sleep(1)
        except BaseException: pass
"""


@pytest.fixture(autouse=True)
def _targets(folder: Path) -> None:
    (folder / 'late.py').write_text(LATE)


def failure(outcome: Outcome) -> Failure:
    assert outcome.failure is not None
    assert outcome.ran
    return outcome.failure


@pytest.mark.parametrize('target', ['loop', 'wait', 'regex', 'program'])
def test_a_target_is_interrupted_at_its_limit_and_its_child_goes_on(start: MakePool, target: str) -> None:
    late, harmless = Recorder(f'late.{target}', timeout_s=LIMIT_S), Recorder('jobs.pid')
    pool = start(harmless, late)
    for one in (harmless, late, harmless):
        pool.submit(one, message())
    failed = failure(late.wait_for(1)[0])
    assert failed.reason == Reason.TIMEOUT
    assert failed.error.endswith('the target ran longer than its limit of 0.1 s')
    assert f'in {target}' in failed.traceback
    assert len(set(harmless.results(2))) == 1


@pytest.mark.parametrize('target', ['loop_in_c', 'stop', 'ignore', 'block_it', 'take_it'])
def test_a_child_whose_target_does_not_heed_its_limit_is_killed_and_replaced(
    start: MakePool, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr(deadlines, 'GRACE_S', 0.2)
    late, harmless = Recorder(f'late.{target}', timeout_s=LIMIT_S), Recorder('jobs.pid')
    pool = start(harmless, late)
    began = time.monotonic()
    for one in (harmless, late, harmless):
        pool.submit(one, message())
    failed = failure(late.wait_for(1)[0])
    assert LIMIT_S < time.monotonic() - began < 10  # and not after its 1,000 s
    assert failed.reason == Reason.TIMEOUT
    assert 'the target ran longer than its limit of 0.1 s and did not end within' in failed.error
    assert failed.lineage == ('greenmicro.errors.TargetTimeoutError', 'builtins.BaseException')
    assert len(set(harmless.results(2))) == 2


def test_what_the_killed_target_has_started_is_killed_too(
    folder: Path, start: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, 'GRACE_S', 0.2)
    late = Recorder('late.with_a_program', timeout_s=LIMIT_S)
    start(late).submit(late, message(str(folder / 'program')))
    assert failure(late.wait_for(1)[0]).reason == Reason.TIMEOUT
    assert is_gone(int((folder / 'program').read_text()))


def test_a_target_that_waits_for_a_confirm_is_interrupted_there(
    folder: Path, start: MakePool, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream stays whole: the late answer harms nobody, and the same child publishes again."""
    go_on = Event()
    confirm = Published.__call__

    def wait_first(self: Published, publication: Publication) -> None:
        go_on.wait()
        confirm(self, publication)

    monkeypatch.setattr(Published, '__call__', wait_first)
    sender = Recorder('late.publish', timeout_s=0.2, dependencies={'producer': Producer()})
    pid = Recorder('jobs.pid')
    pool = start(sender, pid)
    pool.submit(pid, message())
    pool.submit(sender, message('first'))
    failed = failure(sender.wait_for(1)[0])
    assert failed.reason == Reason.TIMEOUT
    assert 'in publish' in failed.traceback
    go_on.set()
    pool.submit(sender, message('second'))
    pool.submit(pid, message())
    succeeded(sender.wait_for(2)[1])
    assert published.wait_for(2) == ['first', 'second']
    assert len(set(pid.results(2))) == 1


def test_the_leaving_of_dependencies_takes_the_time_that_it_takes(
    folder: Path, start: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the alarm nor the deadline counts it; and so with what comes before the call."""
    monkeypatch.setattr(deadlines, 'GRACE_S', 0.0)
    (folder / 'parts.py').write_text(
        'import time\n'
        'from greenmicro import Dependency\n'
        'class Slow(Dependency):\n'
        '    def provide(self, context):\n'
        '        time.sleep(0.3)\n'
        '        yield\n'
        '        time.sleep(0.3)\n'
    )
    (folder / 'quick.py').write_text('def target(payload, slow): return payload\n')
    import parts

    entrypoint = Recorder('quick.target', timeout_s=0.2, dependencies={'slow': parts.Slow()})
    start(entrypoint).submit(entrypoint, message('done'))
    assert entrypoint.results(1) == ['done']
    sys.modules.pop('parts')


def test_a_child_that_ended_in_time_is_not_killed_because_the_hub_was_busy(
    folder: Path, start: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it said meanwhile is read before the deadline counts."""
    monkeypatch.setattr(deadlines, 'GRACE_S', 0.0)
    (folder / 'brief.py').write_text(
        'import os, time\n'
        'def target(payload, producer):\n'
        "    producer('begun', {})\n"
        '    time.sleep(0.1)\n'
        '    return os.getpid()\n'
    )

    def block_the_hub(publication: Publication) -> None:
        gevent.sleep(0)  # until the answer is on its way, but for one turn
        gevent.spawn(busy, 0.5)

    def busy(seconds: float) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    entrypoint = Recorder('brief.target', timeout_s=0.3, dependencies={'producer': Producer()})
    pool = start(entrypoint)
    monkeypatch.setattr(pool, 'publish', block_the_hub)
    for _ in range(3):
        pool.submit(entrypoint, message())
    assert len(set(entrypoint.results(3))) == 1


def test_many_calls_that_end_near_their_limit_are_finished_once_each(folder: Path, start: MakePool) -> None:
    """By their end or by their time, and no child is lost over it."""
    (folder / 'near.py').write_text(
        'import random, time\ndef target(payload): time.sleep(0.005 + random.uniform(-0.001, 0.001))\n'
    )
    near, harmless = Recorder('near.target', timeout_s=0.005), Recorder('jobs.pid')
    pool = start(near, harmless, MAX_WORKERS=2)
    for _ in range(300):
        pool.submit(near, message())
        pool.submit(harmless, message())
    outcomes = near.wait_for(300)
    assert {outcome.failure.reason for outcome in outcomes if outcome.failure} == {Reason.TIMEOUT}
    assert len(set(harmless.results(300))) <= 2
    assert pool.wait_idle(TIMEOUT_S)
    assert len(near.outcomes) == len(harmless.outcomes) == 300
