"""Children that die: what it costs, and who takes their place."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import gevent
import pytest

from greenmicro.amqp.dependencies import Producer
from greenmicro.messages import Message, Reason
from greenmicro.pools import deadlines, staff
from tests.pools.processes.parts import TIMEOUT_S, MakePool, Published, Recorder, message


@pytest.mark.parametrize(
    ('how', 'end'),
    [
        (0, 'exited with code 0'),
        (1, 'exited with code 1'),
        ('kill', 'killed by SIGKILL'),
        ('segfault', 'killed by SIGSEGV'),
        ('abort', 'killed by SIGABRT'),
        ('close the pipe', 'closed its pipe'),
    ],
)
def test_a_dying_child_costs_its_one_job_and_is_replaced_at_once(
    start: MakePool, monkeypatch: pytest.MonkeyPatch, how: Any, end: str
) -> None:
    monkeypatch.setattr(staff, 'RETRY_S', 1_000.0)  # for which it would wait otherwise
    deadly, harmless = Recorder('jobs.die'), Recorder('jobs.pid')
    pool = start(deadly, harmless)
    pool.submit(harmless, message())
    pool.submit(deadly, message(how))
    for _ in range(3):
        pool.submit(harmless, message())
    failure = deadly.wait_for(1)[0].failure
    assert failure is not None
    assert failure.reason == Reason.WORKER_LOST
    assert failure.error.startswith(f'worker lost: {end}')
    first, *others = harmless.results(4)
    assert len({first, *others}) == 2
    assert len(deadly.outcomes) == 1


def test_the_other_children_go_on_when_one_dies(start: MakePool, published: Published) -> None:
    blocked, harmless = Recorder('jobs.block', dependencies={'producer': Producer()}), Recorder('jobs.pid')
    pool = start(blocked, harmless, MAX_WORKERS=2)
    pool.submit(blocked, message())
    [victim] = published.wait_for()
    for _ in range(50):
        pool.submit(harmless, message())
    os.kill(victim, signal.SIGKILL)
    assert 'SIGKILL' in str(blocked.wait_for(1)[0].failure)
    assert victim not in harmless.results(50)


def test_a_job_that_was_sent_and_not_started_goes_to_another_child(start: MakePool) -> None:
    entrypoint = Recorder('jobs.pid')
    pool = start(entrypoint)
    pool.submit(entrypoint, message())
    [victim] = entrypoint.results(1)
    os.kill(victim, signal.SIGSTOP)
    pool.submit(entrypoint, message())
    pool.submit(entrypoint, message())
    os.kill(victim, signal.SIGKILL)
    _, second, third = entrypoint.results(3)
    assert second == third != victim


def test_a_job_that_is_not_ours_any_more_is_dropped_when_its_child_dies(start: MakePool) -> None:
    class Losing(Recorder):
        ours = True

        def begin(self, message: Message) -> bool:
            return self.ours

    entrypoint = Losing('jobs.pid')
    pool = start(entrypoint)
    pool.submit(entrypoint, message())
    [victim] = entrypoint.results(1)
    os.kill(victim, signal.SIGSTOP)
    pool.submit(entrypoint, message())
    entrypoint.ours = False
    os.kill(victim, signal.SIGKILL)
    assert pool.wait_idle(TIMEOUT_S)
    assert len(entrypoint.outcomes) == 1


def test_a_replacement_that_does_not_get_ready_is_tried_again_and_logged_once(
    folder: Path, start: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level('INFO')
    (folder / 'prepared.py').write_text(
        'import pathlib\n'
        f'folder = pathlib.Path({str(folder)!r})\n'
        'def setup():\n'
        '    with open(folder / "starts", "a") as file: file.write("x")\n'
        '    if (folder / "broken").exists(): raise OSError("no licence")\n'
    )
    deadly, harmless = Recorder('jobs.die'), Recorder('jobs.pid')
    pool = start(deadly, harmless, WORKER_SETUP='prepared.setup')
    (folder / 'broken').touch()
    pool.submit(deadly, message(1))
    pool.submit(harmless, message())
    with gevent.Timeout(TIMEOUT_S):
        while (folder / 'starts').stat().st_size < 4:
            gevent.sleep(0.01)
    (folder / 'broken').unlink()
    harmless.wait_for(1)
    assert [record.levelname for record in caplog.records if 'no licence' in record.message] == ['ERROR']
    assert 'get ready again' in caplog.text


def test_a_dead_child_is_noticed_though_what_it_forked_holds_the_pipe(start: MakePool) -> None:
    entrypoint = Recorder('jobs.fork_and_die')
    pool = start(entrypoint)
    began = time.monotonic()
    pool.submit(entrypoint, message())
    assert 'SIGKILL' in str(entrypoint.wait_for(1)[0].failure)
    assert time.monotonic() - began < 10


def test_a_child_that_sends_what_is_no_frame_is_replaced(
    start: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    wrong, harmless = Recorder('jobs.write_to_the_pipe'), Recorder('jobs.pid')
    pool = start(wrong, harmless)
    pool.submit(wrong, message())
    pool.submit(harmless, message())
    assert 'SIGKILL' in str(wrong.wait_for(1)[0].failure)
    harmless.results(1)
    assert 'cannot be read' in caplog.text


def test_an_idle_child_that_is_stopped_is_replaced(start: MakePool) -> None:
    entrypoint = Recorder('jobs.pid')
    pool = start(entrypoint)
    pool.submit(entrypoint, message())
    [victim] = entrypoint.results(1)
    os.kill(victim, signal.SIGSTOP)
    pool.submit(entrypoint, message())
    _, other = entrypoint.results(2)
    assert other != victim


def test_a_child_that_is_stopped_in_a_job_without_a_limit_is_waited_for(
    start: MakePool, published: Published, caplog: pytest.LogCaptureFixture
) -> None:
    entrypoint = Recorder('jobs.block', dependencies={'producer': Producer()})
    pool = start(entrypoint)
    pool.submit(entrypoint, message())
    [victim] = published.wait_for()
    os.kill(victim, signal.SIGSTOP)
    with gevent.Timeout(TIMEOUT_S):
        while 'waited for until SIGCONT' not in caplog.text:
            gevent.sleep(0.01)
    assert entrypoint.outcomes == []
    os.kill(victim, signal.SIGCONT)
    os.kill(victim, signal.SIGKILL)
    assert 'SIGKILL' in str(entrypoint.wait_for(1)[0].failure)


def test_a_child_that_is_stopped_while_it_decodes_is_killed_at_the_limit(
    folder: Path, start: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, 'GRACE_S', 0.1)
    (folder / 'parts.py').write_text(
        'import os, signal\n'
        'from greenmicro import MessageTranslator\n'
        'class Stopping(MessageTranslator):\n'
        '    def translate(self, payload, context): os.kill(os.getpid(), signal.SIGSTOP)\n'
    )
    import parts

    entrypoint = Recorder('jobs.pid', translators=[parts.Stopping()], timeout_s=0.1)
    start(entrypoint).submit(entrypoint, message())
    failure = entrypoint.wait_for(1)[0].failure
    assert failure is not None
    assert failure.reason == Reason.TIMEOUT
    sys.modules.pop('parts')


def test_a_job_that_no_child_can_read_is_charged(
    folder: Path, start: MakePool, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / 'tight.py').write_text(
        'import resource\n'
        'def setup():\n'
        "    pages = int(open('/proc/self/statm').read().split()[0])\n"
        '    limit = pages * resource.getpagesize() + 20_000_000\n'
        '    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n'
    )
    large, small = Recorder('jobs.size'), Recorder('jobs.size')
    pool = start(large, small, WORKER_SETUP='tight.setup')
    pool.submit(large, Message(b'x' * 50_000_000, {'content_type': 'application/octet-stream'}))
    pool.submit(small, message('fine'))
    failure = large.wait_for(1)[0].failure
    assert failure is not None
    assert failure.reason == Reason.WORKER_LOST
    assert 'before they had begun it, the last one exited with code 1' in failure.error
    assert small.results(1) == [4]
    assert 'MemoryError' in capfd.readouterr().err


def test_children_that_die_before_they_are_of_use_are_not_respawned_in_a_spin(
    folder: Path, start: MakePool
) -> None:
    (folder / 'doomed.py').write_text(
        'import os, pathlib, threading, time\n'
        f'folder = pathlib.Path({str(folder)!r})\n'
        'def die():\n'
        '    time.sleep(0.02)\n'
        '    os._exit(1)\n'
        'def setup():\n'
        '    with open(folder / "starts", "a") as file: file.write("x")\n'
        '    if (folder / "broken").exists(): threading.Thread(target=die, daemon=True).start()\n'
    )
    entrypoint = Recorder('jobs.pid')
    pool = start(entrypoint, WORKER_SETUP='doomed.setup')
    (folder / 'broken').touch()
    began = time.monotonic()
    os.kill(next(iter(pool._staff.children)).pid, signal.SIGKILL)
    with gevent.Timeout(TIMEOUT_S):
        while (starts := (folder / 'starts').stat().st_size) < 3:
            gevent.sleep(0.01)
    # The first, the one that takes its place at once, and at most one a second from then on.
    assert starts <= 2 + (time.monotonic() - began)
    (folder / 'broken').unlink()
    pool.submit(entrypoint, message())
    entrypoint.results(1)


def test_a_flood_of_jobs_over_dying_children_is_settled_once_each(start: MakePool) -> None:
    deadly, harmless = Recorder('jobs.die'), Recorder('jobs.pid')
    pool = start(deadly, harmless, MAX_WORKERS=2)
    for number in range(300):
        pool.submit(harmless, message())
        if number % 100 == 50:
            pool.submit(deadly, message(number % 2))
    harmless.wait_for(300)
    deadly.wait_for(3)
    assert pool.wait_idle(TIMEOUT_S)
    assert len(harmless.results(300)) == 300
    assert len(deadly.outcomes) == 3
