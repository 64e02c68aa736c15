"""A JSON body to its payload; and what is wrong with a body that has none, and where."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from typing import Any

from greenmicro.codecs.flaws import QUOTE_LIMIT, FlawError, quoted
from greenmicro.codecs.json_scanner import MAX_DIGITS, scan_counting, scan_short, scanner_of_long
from greenmicro.codecs.texts import read_text
from greenmicro.errors import PayloadError

#: A flaw further on is told without its place: finding it reads the text 17 times, for up to 40 ms [M].
LOCATE_LIMIT = 100_000

_SPACE = ' \t\n\r'
_SURROGATE = re.compile(r'\\u[dD][89a-fA-F]').search
#: Pairs are read as one; the group is a surrogate that is in none.
_ESCAPES = re.compile(r'\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]|(u[dD][89a-fA-F])|.)').finditer


def read_json(body: bytes | bytearray, encoding: str) -> Any:
    """Read a body as one JSON value.

    Args:
        body: The body, no longer compressed.
        encoding: That of its text; one that is accepted.

    Raises:
        PayloadError: With what is wrong, the character at which, and little of the body.
    """
    text = read_text(body, encoding)
    start = _past_space(text, 0) if text[:1] in _SPACE else 0
    scan = scan_short if len(text) <= MAX_DIGITS else scanner_of_long(text)
    try:
        payload, end = scan(text, start)
        if end != len(text) and (end := _past_space(text, end)) != len(text):
            raise json.JSONDecodeError('something follows the value', text, end)
    except (StopIteration, ValueError, RecursionError) as error:
        raise PayloadError(_complaint(error, text, start)) from None
    # Only an escape can bring a lone surrogate into valid text; looking for one takes 20 ns in 300 bytes.
    if '\\' in text and _SURROGATE(text):
        _refuse_lone_surrogates(text)
    return payload


def _past_space(text: str, at: int) -> int:
    return len(text) - len(text[at:].lstrip(_SPACE))


def _refuse_lone_surrogates(text: str) -> None:
    lone = next((escape for escape in _ESCAPES(text) if escape[1]), None)
    if lone:
        raise PayloadError(f'the JSON body holds a lone surrogate at character {lone.start()}')


def _complaint(error: Exception, text: str, start: int) -> str:
    """Say what is wrong with a JSON body, and at which character."""
    if not text[start:]:
        return 'the JSON body is empty'
    if isinstance(error, StopIteration):
        error = json.JSONDecodeError('a value is missing', text, error.value)
    if isinstance(error, json.JSONDecodeError):
        found = quoted(text[error.pos :][:QUOTE_LIMIT]) if text[error.pos :] else 'its end'
        wrong = error.msg.removesuffix(' at')
        return f'the body is not JSON: {wrong} at character {error.pos}, before {found}'
    what = error if isinstance(error, FlawError) else 'an integer of too many digits'
    what = 'too many levels' if isinstance(error, RecursionError) else what
    return f'the JSON body holds {what}{_place(type(error), text[:LOCATE_LIMIT], start)}'


def _place(error: type[Exception], text: str, start: int) -> str:
    """Find the shortest beginning of a body that has its flaw; each shorter one is merely cut off."""

    def flawed(end: int) -> bool:
        try:
            scan_counting(text[:end], start)
        except (StopIteration, ValueError, RecursionError) as found:
            return type(found) is error
        return False

    at = bisect_left(range(len(text) + 1), True, key=flawed)
    return f', ending at character {at}' if at <= len(text) else ''
