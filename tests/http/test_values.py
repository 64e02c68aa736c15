"""Requests and responses as values: what a target may return, and what cannot go out."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Any

import pytest

from greenmicro.errors import PayloadError
from greenmicro.http.values import Answer, Response, answer_of, query_of, to_json

JSON = [('Content-Type', 'application/json')]


@pytest.mark.parametrize(
    ('result', 'answer'),
    [
        (None, Answer(204, [], b'')),
        ({'a': [1, 'é']}, Answer(200, JSON, '{"a":[1,"é"]}'.encode())),
        ('text', Answer(200, JSON, b'"text"')),
        (0, Answer(200, JSON, b'0')),
        (Response(), Answer(200, [], b'')),
        (Response({'id': 7}, 201, {'Location': '/7'}), Answer(201, [('Location', '/7'), *JSON], b'{"id":7}')),
        (Response('x'), Answer(200, [('Content-Type', 'text/plain; charset=utf-8')], b'x')),
        (Response(b'x'), Answer(200, [('Content-Type', 'application/octet-stream')], b'x')),
        (
            Response('<p>', content_type='text/html'),
            Answer(200, [('Content-Type', 'text/html')], b'<p>'),
        ),
        (
            Response(b'x', headers={'content-type': 'image/png'}),
            Answer(200, [('content-type', 'image/png')], b'x'),
        ),
        (
            Response(None, 303, {'Set-Cookie': ['a=1', 'b=2']}),
            Answer(303, [('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2')], b''),
        ),
    ],
)
def test_what_a_target_returns_is_an_answer(result: Any, answer: Answer) -> None:
    """JSON unless it says otherwise, and nothing for None."""
    assert answer_of(result) == answer


@pytest.mark.parametrize(
    ('response', 'fault'),
    [
        (Response(status=99), 'status: wanted 200 to 599, found 99'),
        (Response(status=True), 'status: wanted 200'),
        (Response(status='200'), "found '200'"),
        (Response('x', 204), 'status 204 has no body'),
        (Response(headers={'a b': 'c'}), "'a b' is no name of a header"),
        (Response(headers={'A': 'b\r\nC: d'}), 'the header A: wanted a text of one line'),
        (Response(headers={'A': 'b\0'}), 'the header A'),
        (Response(headers={'A': '€'}), 'latin-1'),
        (Response(headers={'A': 7}), 'found 7'),
        (Response(headers={'Content-Length': '7'}), 'Content-Length is set by the server'),
        (Response('x', content_type='a\nb'), 'the header Content-Type'),
    ],
)
def test_a_response_that_cannot_go_out(response: Any, fault: str) -> None:
    """It is refused where it was made, before anything is sent."""
    with pytest.raises((ValueError, TypeError), match=fault):
        answer_of(response)


def test_json_is_plain() -> None:
    """Without the tags that messages have."""
    value = [
        datetime.datetime(2026, 1, 2, 3, 4),
        datetime.date(2026, 1, 2),
        datetime.time(3, 4),
        decimal.Decimal('1.50'),
        uuid.UUID(int=7),
    ]
    assert to_json(value) == (
        b'["2026-01-02T03:04:00","2026-01-02","03:04:00","1.50","00000000-0000-0000-0000-000000000007"]'
    )


def test_an_object_may_say_what_it_is_in_json() -> None:
    """By `__json__`, as in messages."""

    class Order:
        def __json__(self) -> Any:
            return {'id': 7}

    assert to_json([Order()]) == b'[{"id":7}]'


@pytest.mark.parametrize(
    ('value', 'fault'),
    [
        ({'a': object()}, r"payload\['a'\] \(object\)"),
        (float('nan'), 'payload'),
        ([b'bytes'], 'bytes go into a Response'),
    ],
)
def test_what_json_cannot_carry_is_named(value: Any, fault: str) -> None:
    """The element that is in the way."""
    with pytest.raises(PayloadError, match=fault):
        to_json(value)


def test_a_query_has_all_values_in_their_order() -> None:
    """Empty ones too; bytes that are no text do not fail it."""
    assert query_of('a=1&b=&a=%C3%A9+2&c&d=%FF') == {'a': ['1', 'é 2'], 'b': [''], 'c': [''], 'd': ['�']}
    assert query_of('') == {}
