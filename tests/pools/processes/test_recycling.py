"""Children that are replaced after so many tasks."""

import gc
from pathlib import Path

import gevent
import psutil
import pytest

from tests.pools.processes.parts import TIMEOUT_S, MakePool, Recorder, message, own_children


@pytest.mark.parametrize(('workers', 'tasks'), [(1, 1), (1, 3), (2, 1), (2, 5), (3, 20)])
def test_children_are_replaced_after_so_many_tasks_and_no_job_is_lost(
    start: MakePool, workers: int, tasks: int
) -> None:
    entrypoint = Recorder('jobs.pid')
    pool = start(entrypoint, MAX_WORKERS=workers, MAX_TASKS_PER_CHILD=tasks)
    for _ in range(8 * tasks):
        pool.submit(entrypoint, message())
    pids = entrypoint.results(8 * tasks)
    assert len(pids) == 8 * tasks
    assert max(pids.count(pid) for pid in pids) == tasks
    assert pool.wait_idle(TIMEOUT_S)


def test_no_more_jobs_run_than_there_are_slots_while_children_are_replaced(
    folder: Path, start: MakePool
) -> None:
    (folder / 'counted.py').write_text(
        'import os, pathlib, time\n'
        f'folder = pathlib.Path({str(folder)!r}) / "running"\n'
        'folder.mkdir(exist_ok=True)\n'
        'def target(payload):\n'
        '    mine = folder / str(os.getpid())\n'
        '    mine.touch()\n'
        '    time.sleep(0.001)\n'
        '    count = len(list(folder.iterdir()))\n'
        '    mine.unlink()\n'
        '    return count\n'
    )
    entrypoint = Recorder('counted.target')
    pool = start(entrypoint, MAX_WORKERS=2, MAX_TASKS_PER_CHILD=4)
    for _ in range(80):
        pool.submit(entrypoint, message())
    assert max(entrypoint.results(80)) <= 2


@pytest.mark.parametrize('workers', [1, 2])
def test_children_that_have_grown_too_large_are_replaced_and_no_job_is_lost(
    folder: Path, start: MakePool, workers: int
) -> None:
    (folder / 'leaking.py').write_text(
        'import os\n'
        'kept = []\n'
        'def target(payload):\n'
        "    kept.append(b'x' * 40_000_000)\n"
        '    return [os.getpid(), payload]\n'
    )
    leaking, modest = Recorder('leaking.target'), Recorder('jobs.pid')
    pool = start(leaking, modest, MAX_WORKERS=workers, MAX_MEMORY_PER_CHILD_MB=110)
    for number in range(9):
        pool.submit(leaking, message(number))
        pool.submit(modest, message())
    done = leaking.results(9)
    assert sorted(number for _, number in done) == list(range(9))
    pids = [pid for pid, _ in done]
    # A bare child holds 15 to 30 MB: the third message is above the limit, or the second.
    assert {pids.count(pid) for pid in pids[:-3]} <= {2, 3}
    assert pool.wait_idle(TIMEOUT_S)
    assert len(leaking.outcomes) == len(modest.outcomes) == 9


def test_children_that_are_small_enough_stay(start: MakePool) -> None:
    entrypoint = Recorder('jobs.pid')
    pool = start(entrypoint, MAX_MEMORY_PER_CHILD_MB=500)
    for _ in range(50):
        pool.submit(entrypoint, message())
    assert len(set(entrypoint.results(50))) == 1


def test_children_that_have_ended_leave_no_descriptors(start: MakePool) -> None:
    """Without the help of the garbage collector."""
    entrypoint = Recorder('jobs.pid')
    pool = start(entrypoint, MAX_TASKS_PER_CHILD=1)
    gc.disable()
    try:
        counts = []
        for number in range(1, 7):
            pool.submit(entrypoint, message())
            entrypoint.wait_for(number)
            with gevent.Timeout(TIMEOUT_S):
                while pool._staff.retired or pool._staff.ready < 1:
                    gevent.sleep(0.01)
            counts.append(psutil.Process().num_fds())
    finally:
        gc.enable()
    assert counts[-1] <= counts[1]


def test_a_retired_child_that_does_not_end_is_killed(start: MakePool) -> None:
    entrypoint = Recorder('jobs.leave_thread')
    pool = start(entrypoint, MAX_TASKS_PER_CHILD=1, STOP_TIMEOUT_S=0.1)
    pool.submit(entrypoint, message())
    [pid] = entrypoint.results(1)
    with gevent.Timeout(TIMEOUT_S):
        while pid in own_children():
            gevent.sleep(0.01)
