"""benchmarks/latency.py in small."""

from tests.benchmarks.conftest import Run

PROGRAMS = {'bare consumer', 'service'}


def test_it_measures_both_programs_idle_and_under_load(run: Run) -> None:
    """Both programs have a throughput, and latencies in order; the clock is one for all processes."""
    output, data = run('latency')
    assert data['full'].keys() == PROGRAMS
    assert data['loads'].keys() == {'idle', 'half load'}
    for load in data['loads'].values():
        assert load['programs'].keys() == PROGRAMS
        for figures in load['programs'].values():
            p50, p99 = figures['p50_ms']['median'], figures['p99_ms']['median']
            assert 0 < p50 <= p99 <= figures['p999_ms']
        assert load['ratios']['p99']['median'] > 0
    assert 'service to bare' in output
