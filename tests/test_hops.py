"""What headers carry from hop to hop."""

from __future__ import annotations

import time
from typing import Any

import pytest

from greenmicro import hops


def test_data_loses_its_prefix() -> None:
    """The call chain is no data, and what has no prefix stays behind."""
    headers = {'nameko.user_id': 7, 'nameko.call_id_stack': ['a'], 'tenant': 1, 'greenmicro.attempt': 2}
    assert hops.data_of(headers) == {'user_id': 7}


@pytest.mark.parametrize('name', ['traceparent', 'nameko.traceparent'])
def test_a_trace_goes_on_under_both_names(name: str) -> None:
    """Tools look for W3C's; a nameko hop puts its prefix before it."""
    data = hops.data_of({name: '00-ab-cd-01'})
    assert data == {'traceparent': '00-ab-cd-01'}
    headers = hops.headers_for(data, [])
    assert headers['traceparent'] == headers['nameko.traceparent'] == '00-ab-cd-01'


def test_the_chain_is_ten_calls_long() -> None:
    """The newest, so that with one's own there are eleven."""
    stack = [f's.m.{number}' for number in range(20)]
    assert hops.stack_of({'nameko.call_id_stack': stack}) == stack[10:]


@pytest.mark.parametrize('stack', [None, 'text', 7, {'a': 1}])
def test_what_is_no_chain_is_none(stack: Any) -> None:
    """A peer may write what it likes."""
    assert hops.stack_of({'nameko.call_id_stack': stack}) == []
    assert hops.stack_of({'nameko.call_id_stack': ['a', 7, None, 'b']}) == ['a', 'b']


def test_a_deadline_is_a_moment() -> None:
    """In milliseconds since 1970."""
    assert hops.deadline_of({'greenmicro.deadline': 1_700_000_000_500}) == 1_700_000_000.5


@pytest.mark.parametrize('deadline', [None, True, 'soon', 0, -1, 1.5, 2**62])
def test_what_is_no_moment_is_no_deadline(deadline: Any) -> None:
    """Nor is one that is further away than anybody waits."""
    assert hops.deadline_of({'greenmicro.deadline': deadline}) is None
    assert hops.deadline_of({'greenmicro.deadline': int((time.time() + 90_000) * 1000)}) is None


def test_data_is_passed_on_as_far_as_there_is_room() -> None:
    """Headers as large as a frame would end the connection; what follows may still fit."""
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    headers = hops.headers_for({'small': 1, 'large': 'x' * 30_000, 'deep': nested, 'last': 'y'}, ['a'])
    assert headers == {'nameko.call_id_stack': ['a'], 'nameko.small': 1, 'nameko.last': 'y'}
