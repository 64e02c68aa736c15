"""A child process as its service's program starts it: what of main.py holds there, and how it ends."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from greenmicro.child import in_child
from tests.support.program import Program, is_alive

pytestmark = pytest.mark.usefixtures('measured')

# The service is a bare pool: what is asked here lies below the Runner.
HARNESS = """
import json, os, sys

def run(*entrypoints, payload=None, hold=False, **config):
    import gevent
    from gevent.event import Event
    from greenmicro.errors import ConfigError
    from greenmicro.messages import Message
    from greenmicro.pools.processes import ProcessPool
    from greenmicro.settings import Settings

    own = {'AMQP_URI': 'memory://', 'SERVICE_NAME': 's', 'WORKER_MODE': 'process', 'MAX_WORKERS': 2}
    config = own | config
    done = Event()
    for entrypoint in entrypoints: entrypoint.replies = True
    def finished(message, outcome):
        print('outcome', outcome.failure.error if outcome.failure else outcome.result[0].decode())
        done.set()
    def publish(publication): print('published', publication.body.decode())
    try:
        pool = ProcessPool(Settings.load(config, {}), entrypoints, publish)
        pool.start()
    except ConfigError as error:
        print('refused:', error)
        return
    print('children', *(child.pid for child in pool._staff.children))
    for entrypoint in entrypoints:
        entrypoint.finished = finished
        pool.submit(entrypoint, Message(json.dumps(payload).encode(), {'content_type': 'application/json'}))
        done.wait()
        done.clear()
    if hold: Event().wait()
    pool.close()
    print('closed')
"""

MAIN = """
import logging, sys
from greenmicro.runner import Runner
from greenmicro import Dependency, Entrypoint, MessageTranslator, Route, Worker
from harness import run

logging.basicConfig(level=logging.INFO, format='LOG %(message)s', stream=sys.stdout)

class Db(Dependency):
    def setup_worker(self): self.ready = True
    def provide(self, context): yield f'db {self.ready}'

class Shout(MessageTranslator):
    def translate(self, payload, context): return payload.upper()

class Own(Worker):
    def call(self, payload, dependencies): return ['own', super().call(payload, dependencies)]

class Mapping(Entrypoint):
    replies = True
    def arguments(self, payload): return (payload, __name__), {}

class OwnError(Exception): pass

route = Route('tasks.target', {'db': Db()}, [Shout()], Own)
if __name__ == '__main__':
    run(Mapping(route), payload='hello')
"""

TASKS = """
import logging, sys
def target(*arguments, **dependencies):
    logging.getLogger('tasks').info('in the child')
    print('printed')
    return [arguments, dependencies, sys.argv[1:]]
def plain(payload): return payload
def raise_own(payload):
    import __main__
    raise __main__.OwnError('mine')
def block(payload, producer):
    import signal
    producer('blocked', {})
    while True: signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / 'harness.py').write_text(HARNESS)
    (tmp_path / 'tasks.py').write_text(TASKS)
    (tmp_path / 'main.py').write_text(MAIN)
    return tmp_path


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Program]:
    checkout = str(Path(__file__).parents[1])
    with Program(folder, *arguments, environment={'PYTHONPATH': checkout}) as program:
        yield program


def output_of(folder: Path, *arguments: str) -> str:
    with running(folder, *arguments) as program:
        assert program.wait() == 0, program.output
        assert program.survivors() == []
        return program.output


def test_this_process_is_no_child() -> None:
    assert not in_child()


EXPECTED = 'outcome ["own",[["HELLO","__mp_main__"],{"db":"db True"},["--option"]]]'


def test_classes_logging_and_arguments_of_main_hold_in_a_child(folder: Path) -> None:
    output = output_of(folder, 'main.py', '--option')
    assert EXPECTED in output
    assert 'LOG in the child' in output
    assert 'printed' in output
    assert output.rstrip().endswith('closed')


def test_a_main_module_is_run_by_its_name(folder: Path) -> None:
    package = folder / 'package'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / 'service.py').write_text(
        MAIN.replace('from harness', 'from . import __name__ as n\nfrom harness')
    )
    assert EXPECTED in output_of(folder, '-m', 'package.service', '--option')


def test_a_main_package_is_run_by_its_name(folder: Path) -> None:
    package = folder / 'package'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / '__main__.py').write_text(MAIN)
    assert EXPECTED in output_of(folder, '-m', 'package', '--option')


@pytest.mark.parametrize('flags', [['-c'], ['-I', '-c'], ['-O', '-c'], ['-W', 'error', '-c']])
def test_a_program_without_a_main_file_runs(folder: Path, flags: list[str]) -> None:
    checkout = Path(__file__).parents[1]
    program = (
        f'import sys; sys.path[:0] = [{str(checkout)!r}, {str(folder)!r}]\n'
        'import greenmicro.runner\nfrom greenmicro import Entrypoint, Route\nfrom harness import run\n'
        "run(Entrypoint(Route('tasks.plain')), payload='here')"
    )
    assert 'outcome "here"' in output_of(folder, *flags, program)


def test_modules_in_the_working_folder_do_not_hide_ours(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp('elsewhere')
    for name in ('greenmicro', 'pickle', 'signal'):
        (elsewhere / f'{name}.py').write_text('raise SystemExit("the wrong module")')
    assert EXPECTED in output_of(elsewhere, str(folder / 'main.py'), '--option')


@pytest.mark.parametrize(
    ('main', 'wanted'),
    [
        ("Runner([], {'WORKER_MODE': 'process'}).start()\n", 'Guard it'),
        ('import sys; sys.exit("not today")\n', 'not today'),
        ('1 / 0\n', 'ZeroDivisionError'),
    ],
)
def test_a_main_module_that_fails_in_a_child_stops_the_start(folder: Path, main: str, wanted: str) -> None:
    guarded = "if __name__ == '__main__':\n    run(Entrypoint(Route('tasks.plain')))\nelse:\n    "
    head = MAIN[: MAIN.index('class Db')]
    (folder / 'main.py').write_text(head + guarded + main)
    output = output_of(folder)
    assert 'refused:' in output
    assert wanted in output
    assert (
        output.count('main.py failed') + output.count('main.py: Runner.start() was') == 1
    )  # of two children


def test_a_class_under_the_main_guard_is_missing_in_a_child_and_named(folder: Path) -> None:
    text = MAIN.replace(
        '    run(Mapping',
        '    class Guarded(Db): pass\n    route = Route("tasks.target", {"db": Guarded()})\n    run(Mapping',
    )
    (folder / 'main.py').write_text(text)
    output = output_of(folder)
    assert 'refused:' in output
    assert 'Guarded' in output


def test_an_error_of_the_main_module_keeps_its_name(folder: Path) -> None:
    (folder / 'main.py').write_text(
        MAIN.replace("run(Mapping(route), payload='hello')", "run(Entrypoint(Route('tasks.raise_own')))")
    )
    assert 'outcome __main__.OwnError: mine' in output_of(folder)


HOLDING = MAIN.replace(
    "run(Mapping(route), payload='hello')",
    'from greenmicro import Producer\n'
    "    run(Entrypoint(Route('tasks.plain')), Entrypoint(Route('tasks.block', {'producer': Producer()})))",
)


def test_children_end_within_a_second_of_their_killed_parent(folder: Path) -> None:
    (folder / 'main.py').write_text(HOLDING)
    with running(folder) as program:
        program.wait_for('published')  # one child is in a target, the other one is idle
        children = [psutil.Process(pid) for pid in program.children()]
        assert len(children) == 2
        program.signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=1)
        assert not any(map(is_alive, alive))
        program.wait()


def test_a_program_that_a_target_starts_is_no_child(folder: Path) -> None:
    (folder / 'tasks.py').write_text(
        'import subprocess, sys\n'
        'def plain(payload):\n'
        "    script = 'from greenmicro.child import in_child; print(in_child())'\n"
        '    from greenmicro.child import in_child\n'
        "    return [in_child(), subprocess.check_output([sys.executable, '-c', script]).decode().strip()]\n"
    )
    (folder / 'main.py').write_text(
        MAIN.replace("run(Mapping(route), payload='hello')", "run(Entrypoint(Route('tasks.plain')))")
    )
    assert 'outcome [true,"False"]' in output_of(folder)
