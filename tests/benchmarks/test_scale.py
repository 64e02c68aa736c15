"""benchmarks/scale.py in small."""

import re

from tests.benchmarks.conftest import Run

#: As the options say.
AXES = {'queues': [1, 2], 'body': [1000], 'backlog': [300], 'workers': [5], 'replicas': [2]}


def test_it_measures_each_axis(run: Run) -> None:
    """Each point has figures, and is set against the first one of its axis."""
    output, data = run('scale')
    found = {axis: [row['point'] for row in measured['points']] for axis, measured in data['axes'].items()}
    assert found == AXES
    for axis, measured in data['axes'].items():
        assert measured['points'][0]['ratio']['median'] == 1.0
        for row in measured['points']:
            assert row['messages'][0] > 0
            for key in ('cpu_us_per_message', 'messages_per_s', 'peak_memory_mib'):
                assert row[key]['median'] > 0
            assert re.search(rf'^\| {axis} +\| +{row["point"]:,} \|', output, re.MULTILINE)
