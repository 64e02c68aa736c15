"""Timers, in all modes."""

import re
import signal

import pytest

from tests.examples import EXAMPLES
from tests.support.program import Program


@pytest.mark.parametrize('mode', ['thread', 'process'])
def test_reports_come_when_they_are_due(mode):
    """At even seconds; and the interval ticks beside them."""
    with Program(EXAMPLES / 'cron', environment={'GREENMICRO_WORKER_MODE': mode}) as program:
        second = program.wait_for(re.compile(r'report 1, due at \d\d:\d\d:(\d\d)'))[1]
        program.wait_for('cleaning up, 2')
        program.signal(signal.SIGINT)
        assert program.wait() == 0
    assert int(second) % 2 == 0
