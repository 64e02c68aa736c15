"""Text: which encodings are accepted, and what is said of the others."""

from __future__ import annotations

from typing import Any

import pytest

from greenmicro.codecs.texts import accepted_encoding
from greenmicro.errors import ContentRefusedError
from tests.codecs.bodies import fault, payload_of, refusal


def is_accepted(name: str) -> bool:
    try:
        return bool(accepted_encoding(name))
    except ContentRefusedError:
        return False


def test_every_accepted_encoding_is_known_to_python() -> None:
    """What the pattern lets through never becomes a LookupError."""
    names = [f'{prefix}{n}' for prefix in ('iso-8859-', 'windows-', 'cp', 'utf-') for n in range(1300)]
    names += ['utf8', 'us-ascii', 'ascii', 'latin1', 'utf-16le', 'utf-32-be', 'gb18030', 'gbk', 'gb2312']
    names += ['big5', 'euc-jp', 'euc-kr', 'shift-jis']
    accepted = [name for name in names if is_accepted(name)]
    assert len(accepted) == 15 + 9 + 9 + 3 + 13
    for name in accepted:
        payload_of('hello'.encode(name), 'text/plain', name)


@pytest.mark.parametrize('encoding', ['gzip', 'idna', 'punycode', 'unicode_escape', 'utf-7', 'x' * 200, 3])
def test_other_encodings_are_refused(encoding: Any) -> None:
    """Codecs that Python knows but no sender should use are refused like unknown ones."""
    assert refusal(b'{}', 'application/json', encoding).startswith('the content encoding ')
    assert refusal(b'{}', f'application/json; charset={encoding}').startswith('the content encoding ')


def test_text_in_another_encoding_than_it_says_is_a_fault() -> None:
    """Told with the encoding and the byte."""
    assert fault(b'J\xfcrgen', 'text/plain') == 'the body is not utf-8: invalid start byte at byte 1'
    assert fault('ü'.encode(), 'text/plain', 'us_ascii').startswith('the body is not us-ascii: ')
