"""Heads: headers are read in one way only, or not at all."""

from __future__ import annotations

import io

import pytest

from greenmicro.http.heads import BYTES_MOST, HEADERS_MOST, Head, RefusedError


def read(*lines: bytes) -> Head:
    """A head of these lines."""
    return Head.read(io.BufferedReader(io.BytesIO(b'\r\n'.join([*lines, b'', b'the body']))))  # type: ignore[arg-type]


def test_headers_are_read() -> None:
    """By any case of their names; several of one name are one, as HTTP has it."""
    head = read(b'Host: a', b'X-A:  b c\t', b'x-a: d', b'Cookie: e', b'Cookie: f', b'Empty:')
    assert head.get('X-a') == 'b c, d'
    assert head.values == {'host': 'a', 'x-a': 'b c, d', 'cookie': 'e; f', 'empty': ''}
    assert head.pairs[1] == ('X-A', 'b c')
    assert head.get('none', 7) == 7


def test_gevent_reads_them_too() -> None:
    """In the form of its own."""
    head = read(b'Content-Type: text/plain', b'Content-Length: 7')
    assert head.typeheader == 'text/plain'
    assert head.getheader('content-length') == '7'
    assert list(head.headers) == ['Content-Type: text/plain\r\n', 'Content-Length: 7\r\n']


def test_a_line_may_end_without_a_carriage_return() -> None:
    """As RFC 9112 allows."""
    assert Head.read(io.BytesIO(b'A: b\n\n')).values == {'a': 'b'}


@pytest.mark.parametrize(
    'line',
    [
        b'no colon',
        b'Content-Length : 7',
        b' folded: line',
        b'\tfolded',
        b': no name',
        b'A\xe9: b',
        b'A: b\0c',
        b'A: b\rC: d',
        b'Content-Length: +7',
        b'Content-Length: 7_0',
        b'Content-Length: -1',
        b'Content-Length: 7, 7',
        b'Content-Length: ' + b'1' * 20,
        b'Content-Length: 7\r\nContent-Length: 8',
        b'Content-Length: 7\r\nTransfer-Encoding: chunked',
    ],
)
def test_what_others_may_read_otherwise_is_refused(line: bytes) -> None:
    """A proxy on the way might take the end of one request for another one."""
    with pytest.raises(RefusedError) as caught:
        read(b'Host: a', line)
    assert caught.value.status == 400


@pytest.mark.parametrize('coding', [b'gzip', b'gzip, chunked', b'identity', b'chunked, chunked', b'xchunked'])
def test_transfer_encodings_are_not_guessed(coding: bytes) -> None:
    """Only chunked is known."""
    with pytest.raises(RefusedError) as caught:
        read(b'Transfer-Encoding: ' + coding)
    assert caught.value.status == 501


def test_a_head_has_an_end() -> None:
    """A connection that breaks off in it is no request."""
    with pytest.raises(RefusedError):
        Head.read(io.BytesIO(b'A: b\r\n'))


@pytest.mark.parametrize(
    'lines',
    [[b'A: b'] * (HEADERS_MOST + 1), [b'A: ' + b'b' * BYTES_MOST], [b'A: ' + b'b' * 1_000] * 40],
)
def test_too_much_is_refused(lines: list[bytes]) -> None:
    """Before it is all in memory."""
    with pytest.raises(RefusedError) as caught:
        read(*lines)
    assert caught.value.status == 431
