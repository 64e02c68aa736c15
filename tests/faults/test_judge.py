"""The judge fails what it should: each figure with a case that breaks it, beside one that passes."""

import math
from collections import Counter
from dataclasses import replace

import pytest

from tests.faults.judge import Evidence, Limits, Run, figures_of, verdict

RAN = (Run('S', 'a', 1, 1.0, 1), Run('F', 'a', 1, 2.0, 1), Run('S', 'b', 1, 2.5, 1), Run('F', 'b', 1, 3.0, 1))
GOOD = Evidence(confirmed=frozenset('ab'), runs=RAN, heals=(2.0,), stop_s=0.1)


def test_what_went_well_passes() -> None:
    """Every confirmed message finished once, in time, and nothing left."""
    figures, broken = verdict(GOOD, Limits())
    assert broken == []
    assert (figures.sent, figures.lost, figures.duplicates, figures.recover_s) == (2, 0, 0, 1.0)


BREAKING = {
    'lost': ({'confirmed': frozenset('abc')}, 'lost 1'),
    'output missing': ({'sent_on': frozenset('a')}, 'lost 1'),
    'unexpected': ({'confirmed': frozenset('b')}, 'unexpected 1'),
    'duplicate': ({'runs': (*RAN, RAN[0])}, 'duplicates 1, at most 0 allowed'),
    'collateral': ({'dead': {'a': ['because']}}, 'collateral 1'),
    'spared': ({'meant_to_fail': {'a': ''}}, 'spared 1'),
    'wrong reason': (
        {'meant_to_fail': {'a': 'body'}, 'dead': {'a': ['target']}},
        "a is dead for 'target', not 'body'",
    ),
    'slow recovery': (
        {'runs': (RAN[0], RAN[1]._replace(at=3.1)), 'confirmed': frozenset('a'), 'heals': (0.9,)},
        'recover_s 2.2, at most 2 allowed',
    ),
    'no recovery': ({'heals': (2.6,)}, 'recover_s inf, at most 2 allowed'),
    'slow stop': ({'stop_s': 11.5}, 'stop_s 11.5, at most 11 allowed'),
    'child': ({'children': 1}, 'children 1'),
    'unacked': ({'unacked': 3}, 'unacked 3'),
    'exit code': ({'exit_code': 1}, 'exit code 1, not 0'),
    'remark': ({'remarks': ('wanted: more',)}, 'wanted: more'),
    'nothing sent': ({'confirmed': frozenset(), 'runs': (), 'heals': ()}, 'nothing was sent'),
}


@pytest.mark.parametrize('name', BREAKING)
def test_each_figure_can_fail(name: str) -> None:
    """What breaks one limit is told, and that alone."""
    change, told = BREAKING[name]
    _, broken = verdict(replace(GOOD, **change), Limits())  # type: ignore[arg-type]
    assert broken == [told]


NOT_LOST = {
    'dead': {'dead': {'c': ['because']}, 'meant_to_fail': {'c': 'because'}},
    'left': {'left': Counter('c')},
    'finished after it was only unknown': {
        'confirmed': GOOD.confirmed,
        'unknown': frozenset('c'),
        'runs': (*RAN, Run('S', 'c', 1, 3.0, 1), Run('F', 'c', 1, 3.1, 1)),
    },
}


@pytest.mark.parametrize('name', NOT_LOST)
def test_what_is_not_lost(name: str) -> None:
    """A message that is dead on purpose or still queued is not lost, nor one that nobody confirmed."""
    change = {'confirmed': frozenset('abc'), **NOT_LOST[name]}
    _, broken = verdict(replace(GOOD, **change), Limits())  # type: ignore[arg-type]
    assert broken == []


def test_a_retry_is_no_duplicate() -> None:
    """A second start counts only when the attempt is the same."""
    again = Run('S', 'a', 1, 2.0, 2)
    assert figures_of(replace(GOOD, runs=(*RAN, again))).duplicates == 0
    assert figures_of(replace(GOOD, runs=(*RAN, again, again))).duplicates == 1


def test_limits_that_allow() -> None:
    """A limit of None allows anything, a higher one so much."""
    seen = replace(GOOD, runs=(*RAN, RAN[0]), heals=(2.6,), stop_s=100.0, exit_code=1)
    assert figures_of(seen).recover_s == math.inf
    assert verdict(seen, Limits(duplicates=1, recover_s=None, stop_s=None, exit_code=None))[1] == []
