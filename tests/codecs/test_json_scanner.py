"""The limits of JSON: what a hostile body comes to, and what that costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from greenmicro.codecs.json_scanner import MAX_DEPTH
from tests.codecs.bodies import cost, fault, payload_of


def hostile() -> dict[str, bytes]:
    deep, digits = 100_000, b'9' * 1_000_000
    return {
        'arrays': b'[' * deep,
        'closed arrays': b'[' * deep + b']' * deep,
        'objects': b'{"a":' * deep,
        'integer': digits,
        'integers': b'[' + digits + b',-' + digits + b']',
        'escapes': b'["' + b'\\\\' * 500_000 + b'\\ud800"]',
        'keys': b'{' + b'"k":1,' * 100_000 + b'"k":1}',
        'different keys': b'{' + b','.join(b'"%d":1' % n for n in range(100_000)) + b',"7":1}',
        'quotes': b'"' * 1_000_000,
        'nan far on': b'[' + b'1,' * 150_000 + b'NaN]',
    }


@pytest.mark.parametrize('body', hostile().values(), ids=hostile().keys())
def test_a_hostile_body_is_refused_in_bounded_time_and_memory(body: bytes) -> None:
    """Depth, digits, escapes and repetition end as a PayloadError, at once, quoting next to nothing."""
    seconds, peak = cost(body)
    assert seconds < 1
    assert peak < 100 * 1024 * 1024
    assert len(fault(body)) < 140


@pytest.fixture
def lifted() -> Iterator[None]:
    """A recursion limit beyond what the C stack is sure to bear."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(2 * MAX_DEPTH)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures('lifted')
def test_depth_is_limited_whatever_the_recursion_limit() -> None:
    """Brackets are counted, those in strings aside."""
    assert fault(b'[' * 10_001) == 'the JSON body holds too many levels, ending at character 10000'
    assert payload_of(b'[' + b'"[\\"[", [], ' * 5_000 + b'{}]')[-3:] == ['["[', [], {}]


LIFTED = """
import sys, threading
from greenmicro.codecs import decode
from greenmicro.errors import PayloadError
from greenmicro.messages import Message
sys.setrecursionlimit(10 ** 6)
if hasattr(sys, 'set_int_max_str_digits'):
    sys.set_int_max_str_digits(0)
def fault(body):
    try:
        return len(decode(Message(body, {'content_type': 'application/json'})))
    except PayloadError as error:
        return str(error)
print(fault(b'[' * 1_000_000))
print(fault(b'{"[[\\\\"": ' * 1_000_000))
print(fault(b'["[[", ' + b'[],' * 100_000 + b'{}]'))
print(fault(b'[' + b'1' * 1_000_000 + b']'))
print(fault(b'[' + b'1,' * 10_000 + b'1]'))
"""


def test_limits_hold_where_a_target_has_lifted_pythons_own() -> None:
    """With a recursion limit of a million and no limit of digits, bytes neither end nor stall the process."""
    run = subprocess.run(
        [sys.executable, '-c', LIFTED], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.stderr == ''
    assert run.stdout.splitlines() == [
        'the JSON body holds too many levels, ending at character 10000',
        'the JSON body holds too many levels, ending at character 90000',
        '100002',
        'the JSON body holds an integer of too many digits, ending at character 4302',
        '10001',
    ]
