"""How a pool ends: jobs interrupted, children ended or killed, nothing left behind."""

import sys
import time
from pathlib import Path

from greenmicro.amqp.dependencies import Producer
from greenmicro.messages import NOT_RUN
from tests.pools.processes.parts import MakePool, Published, Recorder, is_gone, message, own_children


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


def test_close_ends_idle_children_and_kills_what_does_not_end(start: MakePool, published: Published) -> None:
    blocked = Recorder('jobs.block_with_program', dependencies={'producer': Producer()})
    idle, thread = Recorder('jobs.pid'), Recorder('jobs.leave_thread')
    pool = start(blocked, idle, thread, MAX_WORKERS=3)
    pool.submit(blocked, message())
    [program] = published.wait_for()
    pool.submit(thread, message())
    thread.wait_for(1)
    began = time.monotonic()
    pool.close()
    assert time.monotonic() - began < 1.5
    assert blocked.outcomes == [NOT_RUN]
    assert is_gone(program)
    assert own_children() == []


def test_close_tears_the_dependencies_down(folder: Path, start: MakePool) -> None:
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
    assert time.monotonic() - began < 0.9
    sys.modules.pop('parts')
