"""Children that are replaced after so many tasks."""

from pathlib import Path

import gevent
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


def test_a_retired_child_that_does_not_end_is_killed(start: MakePool) -> None:
    entrypoint = Recorder('jobs.leave_thread')
    pool = start(entrypoint, MAX_TASKS_PER_CHILD=1, STOP_TIMEOUT_S=0.1)
    pool.submit(entrypoint, message())
    [pid] = entrypoint.results(1)
    with gevent.Timeout(TIMEOUT_S):
        while pid in own_children():
            gevent.sleep(0.01)
