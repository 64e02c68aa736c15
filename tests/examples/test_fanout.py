"""One message in, 200 HTTP calls out."""

import re

from tests.examples import EXAMPLES
from tests.support.program import Program


def test_the_calls_overlap():
    """200 calls of at least 0.1 s each take less than half of their sum; their server is gone with it."""
    with Program(EXAMPLES / 'fanout', measured=False) as program:
        took, fastest = program.wait_for(
            re.compile(r'200 calls in ([\d.]+) s; the fastest of them alone took ([\d.]+) s')
        ).groups()
        assert program.wait() == 0
        assert program.survivors() == []
    assert float(fastest) >= 0.1
    assert float(took) < 10
