"""Two services that call each other, on a broker inside the process."""

from tests.examples import EXAMPLES
from tests.support.program import Program


def test_each_order_gets_its_total_or_the_reason_for_none():
    """And both services end by themselves."""
    with Program(EXAMPLES / 'rpc') as program:
        assert program.wait(60) == 0, program.output
    lines = program.output.splitlines()
    assert "['apple', 'pear']: 8" in lines
    assert "['apple', 'apple', 'apple']: 9" in lines
    assert "['apple', 'unicorn']: no price (KeyError: 'unicorn'), there are ['apple', 'pear']" in lines
