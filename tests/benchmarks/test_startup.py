"""benchmarks/startup.py in small."""

from tests.benchmarks.conftest import Run


def test_it_measures_start_idling_and_stop(run: Run) -> None:
    """The service and what it is compared with have figures; on a busy machine one round proves no order."""
    output, data = run('startup')
    assert data['bare_s'].keys() == {'python alone', 'bare imports', 'bare consumer'}
    for figure in (*data['bare_s'].values(), data['first_message_s'], data['stop_s']):
        assert figure['median'] > 0
    assert data['idle_percent']['median'] >= 0
    assert 'service to its first message' in output
