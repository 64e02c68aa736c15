"""benchmarks/limit.py in small."""

from tests.benchmarks.conftest import Run

PROGRAMS = ['greenmicro thread', 'bare, ack each', 'bare, acks batched', 'bare, no ack']


def test_it_compares_ours_with_the_bare_client(run: Run) -> None:
    """Ours and the three loops have figures, and each ratio is of two of them."""
    output, data = run('limit')
    assert [row['peer'] for row in data['consumed']] == PROGRAMS
    figures = {row['peer']: row['cpu_us_per_message']['median'] for row in data['consumed']}
    assert all(figure > 0 for figure in figures.values())
    ratios = {row['theirs']: row['median'] for row in data['ratios'] if row['measure'] == 'CPU per message'}
    assert ratios == {name: figures[PROGRAMS[0]] / figures[name] for name in PROGRAMS[1:]}
    assert 'CPU per message: greenmicro thread to bare, ack each' in output
