"""decode and encode: what a content type leads to, and that nothing but a PayloadError comes out."""

from __future__ import annotations

import subprocess
import sys
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenmicro.codecs import decode
from greenmicro.errors import ContentRefusedError, PayloadError
from greenmicro.messages import Message
from tests.codecs.bodies import payload_of, refusal

JSON = {'content_type': 'application/json', 'content_encoding': 'utf-8'}


@pytest.mark.parametrize(
    ('content_type', 'encoding'),
    [
        ('application/json', 'utf-8'),
        ('application/json', None),
        ('application/json', ''),
        ('application/json', 'UTF-8'),
        ('application/json', 'utf_8'),
        ('application/json', 'binary'),
        ('application/json; charset=utf-8', None),
        ('Application/JSON;profile=x', 'utf8'),
        ('application/json', 'utf-16-le'),
        ('application/json', 'cp1252'),
        ('application/json; charset="iso-8859-15"', None),
        ('application/json; charset=utf-16', 'latin-1'),
    ],
)
def test_json_comes_in_many_spellings(content_type: str, encoding: str | None) -> None:
    """Parameters, case and the usual encodings are tolerated; the property goes before the parameter."""
    plain = {'utf-16-le': 'utf-16-le', 'cp1252': 'cp1252', 'latin-1': 'latin-1'}.get(encoding or '', 'utf-8')
    if 'iso-8859-15' in content_type:
        plain = 'iso-8859-15'
    assert payload_of('{"name": "Jürgen"}'.encode(plain), content_type, encoding) == {'name': 'Jürgen'}


def test_text_is_a_string() -> None:
    """text/plain is not parsed."""
    assert payload_of(b'{"a": 1}', 'text/plain') == '{"a": 1}'
    assert payload_of(b'', 'text/plain', 'us-ascii') == ''


@pytest.mark.parametrize('content_type', ['application/octet-stream', 'application/data'])
def test_bytes_stay_bytes(content_type: str) -> None:
    """Binary types hand the body over, whatever text encoding a client set by default."""
    assert payload_of(b'\xff\x00', content_type, 'binary') == b'\xff\x00'
    assert payload_of(b'\xff\x00', content_type, 'utf-8') == b'\xff\x00'


@pytest.mark.parametrize(
    'content_type',
    [
        'application/x-python-serialize',
        'application/x-yaml',
        'application/x-msgpack',
        'application/vnd.api+json',
        'text/html',
        '',
        b'application/json',
        ['application/json'],
    ],
)
def test_other_content_types_are_refused(content_type: Any) -> None:
    """Pickle, yaml and the rest are named and never looked into, nor what they are compressed with."""
    text = refusal(b'cos\nsystem\n(S"true"\ntR.', content_type, compression='no such thing')
    assert text.startswith('the content type ')
    assert text.endswith(
        'accepted are application/json, text/plain, application/octet-stream, application/data'
    )
    if isinstance(content_type, str):
        assert repr(content_type) in text


def test_a_missing_content_type_is_refused() -> None:
    """Nothing is guessed."""
    assert refusal(b'{}', None).startswith('the content type is missing; accepted are')
    with pytest.raises(ContentRefusedError, match='is missing'):
        decode(Message(b'{}'))


@given(st.binary())
def test_no_bytes_raise_anything_but_a_payload_error(body: bytes) -> None:
    """Whatever the bytes, whatever the type: a payload or a PayloadError."""
    for properties in (
        JSON,
        {'content_type': 'text/plain'},
        {'content_type': 'application/json; charset=utf-16'},
    ):
        for headers in (
            {},
            {'compression': 'gzip'},
            {'compression': 'bz2'},
            {'compression': 'application/x-lzma'},
        ):
            try:
                decode(Message(body, properties, headers))
            except PayloadError:
                pass


def test_a_body_has_a_largest_size() -> None:
    """As it came, whatever it holds; and unpacked."""
    json_of = {'content_type': 'application/json'}
    assert decode(Message(b'"12345"', json_of), most=7) == '12345'
    with pytest.raises(PayloadError, match='the body has 8 bytes, of at most 7'):
        decode(Message(b'"123456"', json_of), most=7)
    packed = Message(zlib.compress(b'9' * 1000), json_of, {'compression': 'zlib'})
    assert decode(packed, most=1000) == int('9' * 1000)
    with pytest.raises(PayloadError, match='grows over 999 bytes'):
        decode(packed, most=999)


def test_the_codecs_import_lightly() -> None:
    """A child pays for datetime, decimal, uuid and base64 when a tag comes, not before."""
    source = 'import sys, greenmicro.codecs; print(*sys.modules)'
    run = subprocess.run([sys.executable, '-S', '-c', source], capture_output=True, text=True, check=True)
    heavy = {'uuid', 'decimal', 'datetime', 'base64', 'lzma', 'bz2', 'inspect', 'asyncio', 'kombu', 'gevent'}
    assert not heavy & set(run.stdout.split())
