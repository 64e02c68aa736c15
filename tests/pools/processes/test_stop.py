"""How a pool ends: jobs interrupted, children ended or killed, nothing left behind."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from greenmicro.amqp.dependencies import Producer
from greenmicro.messages import NOT_RUN, Reason
from greenmicro.pools import children, staff
from tests.pools.processes.parts import (
    TIMEOUT_S,
    MakePool,
    Published,
    Recorder,
    is_gone,
    message,
    own_children,
)


def test_an_interrupted_job_was_not_run_and_pending_ones_are_left_alone(
    start: MakePool, published: Published
) -> None:
    blocked = Recorder('jobs.block_with_program', dependencies={'producer': Producer()})
    pool = start(blocked)
    pool.submit(blocked, message())
    pool.submit(blocked, message())
    [program] = published.wait_for()
    assert not pool.wait_idle(0.01)
    pool.interrupt(1.0)
    assert blocked.outcomes == [NOT_RUN]
    assert len(pool.pending.clear()) == 1
    assert is_gone(program)
    assert pool.wait_idle(0)


def test_close_ends_idle_children_and_kills_what_does_not_end(
    start: MakePool, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staff, 'CLOSE_TIMEOUT_S', 0.2)
    blocked = Recorder('jobs.block_with_program', dependencies={'producer': Producer()})
    idle, thread = Recorder('jobs.pid'), Recorder('jobs.leave_thread')
    pool = start(blocked, idle, thread, MAX_WORKERS=3)
    pool.submit(blocked, message())
    [program] = published.wait_for()
    pool.submit(thread, message())
    thread.wait_for(1)
    began = time.monotonic()
    pool.close()
    assert time.monotonic() - began < staff.KILL_TIMEOUT_S
    assert blocked.outcomes == [NOT_RUN]
    assert is_gone(program)
    assert own_children() == []


@pytest.fixture
def unkillable(start: MakePool, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SIGKILL ends no process, as one that hangs in the kernel, until after the test."""
    killed, kill = set(), os.killpg
    monkeypatch.setattr(os, 'killpg', lambda group, number: killed.add(group))
    monkeypatch.setattr(children, 'KILL_TIMEOUT_S', 0.2)
    monkeypatch.setattr(staff, 'KILL_TIMEOUT_S', 0.2)
    yield
    monkeypatch.undo()
    for group in killed.intersection(own_children()):
        kill(group, signal.SIGKILL)
    with gevent.Timeout(TIMEOUT_S):
        while killed.intersection(own_children()):  # what a pool leaves is reaped all the same
            gevent.sleep(0.01)


@pytest.mark.usefixtures('unkillable')
def test_close_does_not_wait_for_ever_for_a_child_that_sigkill_does_not_end(
    start: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    thread = Recorder('jobs.leave_thread')
    pool = start(thread)
    pool.submit(thread, message())
    [pid] = thread.results(1)
    pool.close()
    assert own_children() == [pid]
    assert f'worker process {pid} has not ended 0.2 s after SIGKILL' in caplog.text


@pytest.mark.usefixtures('unkillable')
def test_a_child_without_a_pipe_that_sigkill_does_not_end_is_replaced(
    start: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    closed, after = Recorder('jobs.close_the_pipe'), Recorder('jobs.pid')
    pool = start(closed, after)
    [pid] = own_children()
    pool.submit(closed, message())
    [outcome] = closed.wait_for(1)
    assert outcome.failure is not None
    assert outcome.failure.reason == Reason.WORKER_LOST
    assert f'worker process {pid} has not ended 0.2 s after SIGKILL' in caplog.text
    pool.submit(after, message())
    assert after.results(1) != [pid]


def test_close_tears_the_dependencies_down(
    folder: Path, start: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And waits no longer than that takes."""
    monkeypatch.setattr(staff, 'CLOSE_TIMEOUT_S', 30.0)
    (folder / 'parts.py').write_text(
        'import pathlib\n'
        'from greenmicro import Dependency\n'
        'class Kept(Dependency):\n'
        '    def __init__(self, path): self.path = path\n'
        '    def provide(self, context): yield\n'
        '    def teardown_worker(self): pathlib.Path(self.path).write_text("down")\n'
    )
    import parts

    pool = start(Recorder('jobs.pid', dependencies={'kept': parts.Kept(str(folder / 'kept'))}))
    began = time.monotonic()
    pool.close()
    assert (folder / 'kept').read_text() == 'down'
    assert time.monotonic() - began < 20
    sys.modules.pop('parts')
