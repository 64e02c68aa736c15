"""benchmarks/modes.py in small."""

import re

from tests.benchmarks.conftest import Run

MODES = ['thread', 'greedy_process']
WORKLOADS = ['noop', 'io', 'cpu']


def test_it_measures_workloads_and_stops(run: Run) -> None:
    """Each workload has figures in each mode, and the stops show the modes' two kinds.

    A target that computes for 10 ms costs at least about that: no processor time is lost. (How much more
    depends on what else the machine does.)
    """
    output, data = run('modes')
    assert {(row['workload'], row['mode']) for row in data['costs']} == {
        (work, mode) for work in WORKLOADS for mode in MODES
    }
    for row in data['costs']:
        for key in ('messages_per_s', 'cpu_us_per_message', 'peak_memory_mib'):
            assert row[key]['median'] > 0
        assert re.search(rf'^\| {row["workload"]} +\| {row["mode"]} +\|', output, re.MULTILINE)
        if row['workload'] == 'cpu':  # of 20 messages, one more or less may fall into the interval
            assert row['cpu_us_per_message']['median'] >= 9_000
    stops = {row['mode']: (row['finished'], row['given_back']) for row in data['stops']}
    assert stops == {'thread': ([2], [18]), 'greedy_process': ([20], [0])}
    assert all(row['stop_s']['median'] > 0 for row in data['stops'])
