"""A user's own parts, defined in main.py itself, work in all modes."""

import os
from pathlib import Path

import pytest

from tests.acceptance.conftest import Write
from tests.support.amqp_client import Client

pytestmark = pytest.mark.usefixtures('measured')

PARTS = """
import os
from greenmicro import Dependency, Entrypoint, MessageTranslator, TimeEntrypoint, Worker

class Notes(Dependency):
    def __init__(self, path):
        self.path = path
    def setup_worker(self):
        self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    def teardown_worker(self):
        os.write(self.file, b'closed\\n')
        os.close(self.file)
    def provide(self, context):
        try:
            yield lambda *words: os.write(self.file, (' '.join(map(str, words)) + '\\n').encode())
        except KeyError as error:
            os.write(self.file, f'left after {error!r}\\n'.encode())
            raise
        os.write(self.file, b'left\\n')

class Doubled(MessageTranslator):
    def translate(self, payload, context):
        return {**payload, 'number': payload['number'] * 2, 'attempt': context.attempt}

class Named(Worker):
    def call(self, payload, dependencies):
        dependencies['note']('worker of', self.route.target)
        return super().call(payload, dependencies)

class Greeting(Entrypoint):
    def start(self):
        self.receive(self.message({'number': 50}))
    def arguments(self, payload):
        return (payload, 'hello'), {}
"""
ENTRYPOINTS = """[
    EventListener('source', 'event', route=Route(
        'tasks.work', dependencies={{'note': Notes({path!r})}}, translators=[Doubled()], worker_class=Named)),
    Greeting(route=Route('tasks.greet', dependencies={{'note': Notes({path!r})}})),
]"""
TASKS = """
def work(payload, note):
    note('got', payload['number'], payload['attempt'])
    if payload['number'] == 4:
        raise KeyError(payload['number'])

def greet(payload, greeting, note):
    note('greeted', greeting, payload['number'])
"""


def test_parts_of_main_in_all_modes(
    mode: str, tmp_path: Path, write: Write, amqp_uri: str, amqp_client: Client
) -> None:
    """Dependency, translator, worker and entrypoint of main.py serve, and are left in order."""
    notes = tmp_path / 'notes'
    entrypoints = ENTRYPOINTS.format(path=str(notes))
    with write(amqp_uri, mode, tasks=TASKS, entrypoints=entrypoints, imports=PARTS, MAX_WORKERS=1) as program:
        program.wait_for('ready')
        amqp_client.publish('source.events', 'event', {'number': 1})
        amqp_client.publish('source.events', 'event', {'number': 2})
        dead = amqp_client.declare_queue('evt-source-event--service.work.dead')
        letter = amqp_client.get(dead)
        assert program.stop() == 0
    assert letter.payload == {'number': 2}, 'a dead letter has the original body'
    assert letter.headers['greenmicro.error'] == 'KeyError: 4'
    assert letter.headers['greenmicro.reason'] == 'target error'
    lines = notes.read_text().splitlines()
    assert lines[:2] == ['greeted hello 50', 'left']
    assert lines[2:5] == ['worker of tasks.work', 'got 2 1', 'left']
    assert lines[5:8] == ['worker of tasks.work', 'got 4 1', 'left after KeyError(4)']
    assert lines[8:] == ['closed', 'closed'], 'once per worker process and dependency'


PID_TASKS = """
import os
import main_marker
with open('pids', 'a') as file:
    file.write(f'{os.getpid()}\\n')

def work(payload):
    pass
"""
SETUP = """
import os
import sys
import types

def prepare():
    with open('pids', 'a') as file:
        file.write(f'setup {os.getpid()}\\n')
    sys.modules['main_marker'] = types.ModuleType('main_marker')
"""


def test_targets_are_imported_only_where_workers_run(
    mode: str, tmp_path: Path, write: Write, amqp_uri: str
) -> None:
    """WORKER_SETUP runs once per worker process, before the target is imported there, and nowhere else."""
    (tmp_path / 'prepared.py').write_text(SETUP)
    with write(amqp_uri, mode, tasks=PID_TASKS, WORKER_SETUP='prepared.prepare') as program:
        program.wait_for('ready')
        parent = program.pid
        assert program.stop() == 0
    lines = (tmp_path / 'pids').read_text().split('\n')[:-1]
    setups = [line.removeprefix('setup ') for line in lines if line.startswith('setup')]
    imports = [line for line in lines if not line.startswith('setup')]
    assert sorted(setups) == sorted(imports)
    if 'process' in mode:
        assert len(imports) == 2
        assert str(parent) not in imports
    else:
        assert imports == [str(parent)]
    assert os.getpid() not in map(int, imports)


def test_a_timer_in_all_modes(mode: str, tmp_path: Path, write: Write, amqp_uri: str) -> None:
    """Ticks come to the target with their number, the first at once when eager."""
    tasks = "def work(payload):\n    print('tick', payload['tick'], flush=True)\n"
    entrypoints = "[TimeEntrypoint(0.05, Route('tasks.work'), eager=True)]"
    imports = 'from greenmicro import TimeEntrypoint'
    with write(amqp_uri, mode, tasks=tasks, entrypoints=entrypoints, imports=imports) as program:
        for number in (1, 2, 3):
            program.wait_for(f'tick {number}')
        assert program.stop() == 0
