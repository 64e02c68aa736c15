"""The message of a request: its content, its id, and what travels with it."""

from __future__ import annotations

from typing import Any

import pytest

from greenmicro.http.incoming import message_of
from greenmicro.http.values import Request
from greenmicro.messages import Message

ENVIRON = {
    'REQUEST_METHOD': 'GET',
    'PATH_INFO': '/caf\xc3\xa9',
    'QUERY_STRING': '',
    'REMOTE_ADDR': '10.0.0.1',
}


def message(body: bytes = b'', raw: bool = False, query: str = '', **headers: str) -> Message:
    """A message of a request with these headers."""
    named = {name.replace('_', '-'): value for name, value in headers.items()}
    return message_of({**ENVIRON, 'QUERY_STRING': query}, named, {'id': 7}, body, raw, 'waiting')


@pytest.mark.parametrize(
    ('content_type', 'expected'),
    [
        ('application/json', 'application/json'),
        ('text/plain; charset=latin-1', 'text/plain; charset=latin-1'),
        ('application/problem+json', 'application/json;'),
        ('Application/Vnd.x+JSON ; charset=utf-8', 'application/json; charset=utf-8'),
        ('text/plain; about=+json', 'text/plain; about=+json'),
    ],
)
def test_its_body_is_of_its_content_type(content_type: str, expected: str) -> None:
    """Which kinds of JSON there are is no matter."""
    made = message(b'[1]', content_type=content_type)
    assert (made.body, made.properties['content_type']) == (b'[1]', expected)


def test_without_a_body_it_is_the_query() -> None:
    """As JSON, so that all that follows is as with a body."""
    made = message(query='a=1&a=2', content_type='text/plain')
    assert (made.body, made.properties['content_type']) == (b'{"a":"1"}', 'application/json')
    assert Request.of(made).body == b''
    assert message().body == b'{}'


def test_raw_it_is_bytes() -> None:
    """None of them, where there is no body."""
    for body in (b'[1]', b''):
        made = message(body, raw=True, content_type='application/json')
        assert (made.body, made.properties['content_type']) == (body, 'application/octet-stream')


@pytest.mark.parametrize('id', ['', 'a b', 'a"b', 'x' * 129, 'é'])
def test_an_id_that_is_none_is_replaced(id: str) -> None:
    """It stands in logs and goes back to the client."""
    first, second = (message(x_request_id=id).message_id for _ in range(2))
    assert first != second
    assert len(str(first)) == 36
    assert message(x_request_id='b7ad6b7:1').message_id == 'b7ad6b7:1'


def test_the_request_comes_along() -> None:
    """And who waits for the outcome, which stays here."""
    made = message(b'x', query='a=1', accept='*/*')
    request: Any = Request('GET', '/café', 'a=1', {'accept': '*/*'}, {'id': 7}, '10.0.0.1', b'x')
    assert Request.of(made) == request
    assert made.delivery == 'waiting'
    with pytest.raises(LookupError):
        Request.of(Message(b''))


def test_only_what_travels_is_a_header_of_the_message() -> None:
    """A client cannot claim an attempt, a crash or a compression."""
    forged = {'greenmicro.attempt': '5', 'greenmicro.deadline': '1', 'compression': 'gzip', 'x-a': 'b'}
    context = {'traceparent': '00-x', 'tracestate': 'y', 'baggage': 'z', 'nameko.language': 'en'}
    made = message(**forged, **context)
    assert made.headers.keys() - {'http.request'} == context.keys()
    assert (made.attempt, made.crashes) == (1, 0)
