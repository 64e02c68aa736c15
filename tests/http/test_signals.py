"""HTTPError: what it carries, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from greenmicro.http.signals import NAME, HTTPError
from greenmicro.messages import arguments_json


def test_it_says_what_it_is() -> None:
    """In a log, and by the name that crosses from a child."""
    assert str(HTTPError(404, 'no such order')) == '404 no such order'
    assert str(HTTPError(404)) == '404'
    assert NAME == 'greenmicro.http.signals.HTTPError'


def test_all_of_it_crosses_as_text() -> None:
    """Status, detail, headers and members, also when they are more than a text may have."""
    errors = [{'field': 'x' * 40, 'fault': 'y' * 40}] * 40
    error = HTTPError(422, 'see errors', {'Set-Cookie': ['a', 'b']}, errors=errors)
    assert json.loads(arguments_json(error)) == [
        422,
        'see errors',
        [['Set-Cookie', 'a'], ['Set-Cookie', 'b']],
        {'errors': errors},
    ]


@pytest.mark.parametrize(
    ('arguments', 'members', 'fault'),
    [
        ((200,), {}, 'status: wanted 400 to 599, found 200'),
        (('404',), {}, "found '404'"),
        ((404, '', {'A': 'b\nc'}), {}, 'the header A'),
        ((404,), {'a': object()}, 'object'),
        ((404,), {'a': 'x' * 5_000}, 'at most 5000 bytes of members'),
    ],
)
def test_what_is_no_answer_is_refused(arguments: Any, members: Any, fault: str) -> None:
    """Where it is raised."""
    with pytest.raises(ValueError, match=fault):
        HTTPError(*arguments, **members)
