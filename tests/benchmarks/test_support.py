"""benchmarks/support: how figures are made of what was seen."""

import os
import subprocess
import sys
import time

import pytest

from benchmarks.support.processes import ExitWatch, ProcessTree
from benchmarks.support.report import Spread, table
from benchmarks.support.sampling import Sample, steady, watch


def test_the_steady_part_leaves_start_and_end_out() -> None:
    """Slow first calls and the wait after the last one are in no rate and in no cost."""
    start = [Sample(0.0, 0, 0.0, 10.0), Sample(5.0, 10, 5.0, 10.0)]
    middle = [Sample(5.0 + n, 100 * n, 5.0 + 0.1 * n, 20.0) for n in range(1, 10)]
    end = [Sample(99.0, 1000, 50.0, 30.0)]
    cost = steady([*start, *middle, *end])
    assert (cost.calls, cost.interval_s, cost.per_s) == (800, 8.0, 100.0)
    assert cost.cpu_us == pytest.approx(1000.0)
    assert cost.peak_mib == 30.0


def test_few_samples_all_count() -> None:
    """A run that was over before it was steady is measured from its start."""
    cost = steady([Sample(1.0, 0, 0.5, 1.0), Sample(3.0, 10, 1.5, 1.0)])
    assert (cost.calls, cost.per_s, cost.cpu_us) == (10, 5.0, pytest.approx(1e5))


def test_more_calls_than_messages_are_a_fault() -> None:
    """A message that ran twice spoils a measurement, which says so."""
    with pytest.raises(RuntimeError, match='11 calls for 10 messages'):
        watch(ProcessTree(os.getpid()), lambda: 11, 10)


def test_no_progress_is_a_fault() -> None:
    """A service that hangs ends the benchmark."""
    with pytest.raises(TimeoutError, match='3 of 10 calls'):
        watch(ProcessTree(os.getpid()), lambda: 3, 10, stalled_s=0.05)


def test_a_tree_counts_its_children_and_remembers_the_ended() -> None:
    """The processor time of a child is in the tree's, also when the child is gone."""
    spin = 'import time\nwhile time.process_time() < 0.2: pass\nprint(flush=True)\ninput()'
    command = [sys.executable, '-c', spin]
    tree = ProcessTree(os.getpid())
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        tree.look()
        own_s = time.process_time()
        with_child_s = tree.cpu_s()
        assert with_child_s > own_s + 0.15
        assert tree.memory_mib() > tree.memory_mib('USS') / 2 > 0
        child.communicate(b'\n')
    tree.look()
    assert tree.cpu_s() >= with_child_s


def test_the_end_of_a_process_is_seen_at_once() -> None:
    """The moment is that of the end, and the exit code is left to who started it."""
    with subprocess.Popen([sys.executable, '-c', 'input(); raise SystemExit(3)'], stdin=-1) as child:
        ended = ExitWatch(child.pid)
        with pytest.raises(TimeoutError):
            ExitWatch(child.pid).wait(0.01)
        began = time.monotonic()
        assert child.stdin is not None
        child.stdin.close()
        assert began < ended.wait(10) < began + 10
        assert child.wait() == 1  # EOFError


def test_a_spread_shows_median_and_ends() -> None:
    """One value stands alone; of several the median comes with the lowest and the highest."""
    assert Spread([2.0]).shown('.1f') == '2.0'
    assert Spread([3.0, 1.0, 8.0]).shown('.0f') == '3 (1-8)'
    assert Spread([3.0, 1.0, 8.0]).data() == {
        'median': 3.0,
        'min': 1.0,
        'max': 8.0,
        'rounds': [3.0, 1.0, 8.0],
    }


def test_a_table_is_aligned_markdown() -> None:
    """Names stand left, figures right."""
    assert table(['name', 'mode', 'n'], [['a', 'thread', 5], ['bbbbb', 'x', 1234]]) == (
        '| name  | mode   |    n |\n'
        '| ----- | ------ | ---: |\n'
        '| a     | thread |    5 |\n'
        '| bbbbb | x      | 1234 |'
    )
