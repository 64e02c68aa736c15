"""benchmarks/sleepers.py in small."""

from tests.benchmarks.conftest import Run


def test_it_measures_time_and_growth(run: Run) -> None:
    """Two batches that sleep 1 s take 2 s at least; both processes grow, and are compared."""
    output, data = run('sleepers')
    assert data['most_at_once'] == [500]
    assert data['first_start_to_last_end_s']['median'] >= 2.0
    for process in ('service', 'bare'):
        assert data[process]['peak_mib']['median'] > data[process]['idle_mib']['median'] > 0
    assert data['memory_ratio']['median'] > 0
    assert 'growth, service to bare' in output
