"""The runner of users' programs that the acceptance tests rely on."""

import re
import signal
import time

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.program import KEPT, Program

TALKER = """
import signal, subprocess, sys, time

def on_term(number, frame):
    print('stopping', file=sys.stderr)
    sys.exit(3)

signal.signal(signal.SIGTERM, on_term)
child = subprocess.Popen(['sleep', '600'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print('started', child.pid)
time.sleep(600)
"""


@pytest.fixture
def talker(tmp_path):
    """A program that prints, starts a child and exits with 3 at SIGTERM."""
    (tmp_path / 'main.py').write_text(TALKER)
    with Program(tmp_path) as program:
        yield program


def wait_until_gone(program):
    """Return when nothing of the program lives."""
    deadline = time.monotonic() + PATIENCE_S
    while program.survivors():
        assert time.monotonic() < deadline, program.survivors()
        time.sleep(0.01)


def test_output_is_waited_for(talker):
    """A line is seen as soon as it is printed, and a pattern gives its groups."""
    assert int(talker.wait_for(re.compile(r'started (\d+)'))[1]) in talker.children()
    assert 0 < talker.started_at < time.monotonic()


def test_a_signal_and_the_exit_code(talker):
    """The program gets the signal, its last lines and its exit code are seen."""
    talker.wait_for('started')
    assert talker.stop() == 3
    assert talker.output.splitlines()[-1] == 'stopping'


def test_orphans_are_known_and_killed(talker):
    """A child that outlives the program is found, though nobody is its parent now, and killed at close."""
    orphan = int(talker.wait_for(re.compile(r'started (\d+)'))[1])
    talker.signal(signal.SIGKILL)
    assert talker.wait() == -signal.SIGKILL
    assert talker.children() == []
    assert talker.survivors() == [orphan]
    talker.close()
    wait_until_gone(talker)


def test_output_that_never_comes(talker):
    """Waiting ends at its time, or at once when the program has ended, and shows the output."""
    talker.wait_for('started')
    with pytest.raises(TimeoutError, match=r'(?s)did not print.*started'):
        talker.wait_for('something else', timeout_s=0.1)
    with pytest.raises(TimeoutError, match='still running'):
        talker.wait(0.1)
    talker.close()
    with pytest.raises(EOFError, match='ended without'):
        talker.wait_for('something else')


def test_arguments_and_environment(tmp_path):
    """Any script runs, with variables of its own on top of ours."""
    (tmp_path / 'other.py').write_text('import os, sys; print(sys.argv[1], os.environ["WORD"])')
    with Program(tmp_path, 'other.py', 'hello', environment={'WORD': 'world'}) as program:
        assert program.wait() == 0
    assert program.output == 'hello world\n'


def test_of_very_much_output_the_end_is_kept(tmp_path):
    """A flood takes bounded memory here, and its last line is there, whole."""
    flood = 'for number in range(3): print(str(number) * 5_000_000)\nprint("the end")'
    (tmp_path / 'main.py').write_text(flood)
    with Program(tmp_path) as program:
        assert program.wait() == 0
    assert len(program.output) <= KEPT
    assert program.output.endswith('22\nthe end\n')
