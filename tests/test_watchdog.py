"""Watchdog: that it names what blocks the hub, while it does and afterwards, and nothing else."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from greenmicro.watchdog import Watchdog
from tests.support.program import Program

pytestmark = pytest.mark.usefixtures('measured')

MAIN = """\
import logging
from greenmicro.runner import Runner
from greenmicro.routes import Route
from greenmicro.entrypoints import TimeEntrypoint

logging.basicConfig(level=logging.{level}, format='[%(levelname)s] %(message)s')
config = {{'AMQP_URI': 'memory://', 'SERVICE_NAME': 'shop', 'WORKER_MODE': '{mode}', 'HUB_STALL_WARN_S': 0.2}}
entrypoints = [TimeEntrypoint(3600, Route('tasks.compute'), eager=True)]
if __name__ == '__main__':
    Runner(entrypoints, config).start()
"""
TASKS = """\
import os


def compute(payload):
    print('computing')
    deeper()
    print('computed')


def deeper():
    while not os.path.exists('go'):
        pass
"""


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[list[Program]]:
    made: list[Program] = []
    yield made
    for program in made:
        program.close()


def run(folder: Path, programs: list[Program], mode: str = 'thread', level: str = 'INFO') -> Program:
    (folder / 'main.py').write_text(MAIN.format(mode=mode, level=level))
    (folder / 'tasks.py').write_text(TASKS)
    programs.append(Program(folder).start())
    return programs[-1]


def test_a_target_that_blocks_the_hub_is_named(tmp_path: Path, programs: list[Program]) -> None:
    """While it does, with its entrypoint and its stack; and once through logging, with how long it took."""
    program = run(tmp_path, programs)
    program.wait_for(
        re.compile(r'greenmicro: blocked for \d+\.\d s so far by tasks\.compute, for TimeEntrypoint')
    )
    program.wait_for(re.compile(r'tasks\.py:6 compute\n.*tasks\.py:1[12] deeper\n'))
    assert 'computed' not in program.output
    (tmp_path / 'go').touch()
    program.wait_for(re.compile(r'\[WARNING\] blocked for \d+\.\d s by tasks\.compute, for TimeEntrypoint'))
    assert program.stop() == 0
    assert program.output.count('so far by') == 1
    assert program.output.count('[WARNING]') == 1
    assert 'process mode' in program.output


def test_a_target_in_a_child_blocks_nothing(tmp_path: Path, programs: list[Program]) -> None:
    """However long it computes."""
    program = run(tmp_path, programs, 'process')
    program.wait_for('computing')
    gevent.sleep(0.5)
    (tmp_path / 'go').touch()
    program.wait_for('computed')
    assert program.stop() == 0
    assert 'tasks.compute' not in program.output.partition('ready after')[2]


def test_where_warnings_are_not_wanted_there_is_none(tmp_path: Path, programs: list[Program]) -> None:
    """Neither through logging nor past it."""
    program = run(tmp_path, programs, level='ERROR')
    program.wait_for('computing')
    gevent.sleep(0.5)
    (tmp_path / 'go').touch()
    program.wait_for('computed')
    assert program.stop() == 0
    assert 'blocked' not in program.output


def test_without_a_standard_error_nothing_is_written_to_what_has_its_number(
    tmp_path: Path, programs: list[Program]
) -> None:
    """That may be a connection to the broker."""
    main = MAIN.format(mode='thread', level='INFO')
    (tmp_path / 'main.py').write_text(f"other = open('other', 'w')\nprint(other.fileno())\n{main}")
    (tmp_path / 'tasks.py').write_text(TASKS)
    command = f'exec {sys.executable} main.py 2>&-'
    programs.append(Program(tmp_path, '-c', command, python='/bin/sh').start())
    programs[-1].wait_for('2\ncomputing')
    gevent.sleep(0.5)
    (tmp_path / 'go').touch()
    programs[-1].wait_for('computed')
    assert programs[-1].stop() == 0
    assert (tmp_path / 'other').read_text() == ''


def test_what_is_no_target_is_told_by_its_stack(caplog: pytest.LogCaptureFixture) -> None:
    """A trigger of the user's own, say."""
    watchdog = Watchdog(0.1)
    watchdog.start()
    assert watchdog.last_stall() is None
    while watchdog._stall is None:
        pass
    while not caplog.messages:
        gevent.sleep(0.01)
    watchdog.stop()
    last = watchdog.last_stall()
    assert last is not None
    assert last['by'] == 'what is no target'
    assert last['blocked_s'] >= 0.1
    assert last['ago_s'] >= 0.0
    line = caplog.messages[0]  # a machine that stands still blocks a hub too, and is told of as well
    assert 'by what is no target' in line
    assert 'test_what_is_no_target_is_told_by_its_stack' in line


def test_a_watchdog_that_was_not_started_can_be_stopped() -> None:
    """As by a service whose targets do not resolve."""
    Watchdog(1.0).stop()
