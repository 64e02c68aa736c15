"""How children get ready, and what stops the start."""

import os
import socket
import sys
from pathlib import Path

import gevent
import pytest

from greenmicro.amqp.dependencies import Producer
from greenmicro.errors import ConfigError
from tests.pools.processes.parts import TIMEOUT_S, MakePool, Recorder, message, own_children

pytestmark = pytest.mark.usefixtures('measured')


def test_a_target_runs_in_a_child_and_is_never_imported_by_the_parent(folder: Path, start: MakePool) -> None:
    (folder / 'only_child.py').write_text(
        'import os\n'
        'imported_by = os.getpid()\n'
        'def target(payload): return [imported_by, os.getpid(), payload]\n'
    )
    entrypoint = Recorder('only_child.target')
    pool = start(entrypoint)
    pool.submit(entrypoint, message({'a': 1}))
    [[imported_by, ran_in, payload]] = entrypoint.results(1)
    assert imported_by == ran_in != os.getpid()
    assert payload == {'a': 1}
    assert 'only_child' not in sys.modules


def test_children_have_neither_gevent_nor_kombu_nor_amqp(start: MakePool) -> None:
    entrypoint = Recorder('jobs.modules', dependencies={})
    start(entrypoint, Recorder('jobs.publish', dependencies={'producer': Producer()})).submit(
        entrypoint, message()
    )
    [modules] = entrypoint.results(1)
    packages = {module.partition('.')[0] for module in modules}
    assert not packages & {'gevent', 'kombu', 'amqp', 'psutil'}
    if 'coverage' not in packages:
        assert not packages & {'multiprocessing', 'asyncio', 'concurrent'}
    assert 'greenmicro.pools.children' not in modules


def test_all_faults_are_told_at_once_and_only_once(folder: Path, make_pool: MakePool) -> None:
    (folder / 'parts.py').write_text(
        'from greenmicro import Dependency\n'
        'class Broken(Dependency):\n'
        '    def setup_worker(self): raise OSError("no database")\n'
        '    def provide(self, context): yield\n'
    )
    import parts  # type: ignore[import-not-found]

    pool = make_pool(
        Recorder('jobs.nothing'),
        Recorder('no_module.target'),
        Recorder('jobs.pid', dependencies={'db': parts.Broken()}),
        MAX_WORKERS=3,
    )
    with pytest.raises(ConfigError) as caught:
        pool.start()
    assert len(caught.value.faults) == 3
    for fault, wanted in zip(caught.value.faults, ('jobs.nothing', 'no_module', 'no database'), strict=True):
        assert wanted in fault
    assert own_children() == []
    sys.modules.pop('parts')


def test_a_child_that_dies_at_the_start_stops_the_start(folder: Path, make_pool: MakePool) -> None:
    (folder / 'deadly.py').write_text('import os; os._exit(3)')
    with pytest.raises(ConfigError, match='exited with code 3 before it was ready'):
        make_pool(Recorder('deadly.target'), MAX_WORKERS=2).start()


def test_a_child_that_cannot_be_started_stops_the_start(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool(Recorder('jobs.pid'))
    monkeypatch.setattr(sys, 'executable', '/no/python')
    with pytest.raises(ConfigError, match='/no/python'):
        pool.start()


def test_worker_setup_runs_once_in_each_child_before_the_first_target_is_imported(
    folder: Path, start: MakePool
) -> None:
    (folder / 'prepared.py').write_text('import os\nby = []\ndef setup(): by.append(os.getpid())\n')
    (folder / 'late.py').write_text(
        'import prepared\nseen = list(prepared.by)\ndef target(payload): return [seen, prepared.by]\n'
    )
    entrypoint = Recorder('late.target')
    start(entrypoint, Recorder('jobs.pid'), WORKER_SETUP='prepared.setup').submit(entrypoint, message())
    [[seen, by]] = entrypoint.results(1)
    assert len(by) == 1
    assert seen == by


@pytest.mark.parametrize(
    ('body', 'wanted'),
    [('raise OSError("no licence")', 'no licence'), ('import sys; sys.exit("sorry")', 'sorry')],
)
def test_a_worker_setup_that_fails_stops_the_start(
    folder: Path, make_pool: MakePool, body: str, wanted: str
) -> None:
    (folder / 'prepared.py').write_text(f'def setup():\n    {body}\n')
    pool = make_pool(Recorder('jobs.pid'), WORKER_SETUP='prepared.setup', MAX_WORKERS=2)
    with pytest.raises(ConfigError, match=f'(?s)WORKER_SETUP prepared.setup.*{wanted}') as caught:
        pool.start()
    assert len(caught.value.faults) == 1


def test_no_process_inherits_the_pipe_of_another(start: MakePool) -> None:
    own, inherited = Recorder('jobs.sockets'), Recorder('jobs.sockets_of_program')
    outside = socket.create_server(('127.0.0.1', 0))
    pool = start(own, inherited, MAX_WORKERS=2)
    with outside:
        for _ in range(10):
            pool.submit(own, message())
        pool.submit(inherited, message())
        assert set(own.results(10)) == {1}
        assert inherited.results(1) == [0]


def test_a_target_reads_no_input(start: MakePool) -> None:
    entrypoint = Recorder('jobs.stdin')
    start(entrypoint).submit(entrypoint, message())
    assert entrypoint.results(1) == ['']


def test_close_cuts_a_start_short(folder: Path, make_pool: MakePool) -> None:
    (folder / 'prepared.py').write_text(
        'import pathlib, signal\n'
        'def setup():\n'
        f'    pathlib.Path({str(folder / "here")!r}).touch()\n'
        '    while True: signal.pause()\n'
    )
    pool = make_pool(Recorder('jobs.pid'), WORKER_SETUP='prepared.setup')
    starting = gevent.spawn(pool.start)
    with gevent.Timeout(TIMEOUT_S):
        while not (folder / 'here').exists():
            gevent.sleep(0.01)
        pool.close()
        starting.get()
    assert own_children() == []
