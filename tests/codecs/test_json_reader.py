"""JSON bodies: what is read, and what is said of a body that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenmicro.errors import PayloadError
from tests.codecs.bodies import fault, payload_of


@pytest.mark.parametrize(
    ('body', 'words'),
    [
        (b'', 'the JSON body is empty'),
        (b' \n', 'the JSON body is empty'),
        (b'{"a":', 'a value is missing at character 5, before its end'),
        (b'tru', "a value is missing at character 0, before 'tru'"),
        (b'[1 2]', "at character 3, before '2]'"),
        (b'{"a": 1} x', "something follows the value at character 9, before 'x'"),
        (b'{} \x00', 'something follows the value at character 3'),
        (b'"a\nb"', 'Invalid control character at character 2'),
        (b'\xff', 'the body is not utf-8: invalid start byte at byte 0'),
        (b'["\xed\xa0\x80"]', 'the body is not utf-8: invalid continuation byte at byte 2'),
        (b'[NaN]', 'holds NaN, which is not JSON, ending at character 4'),
        (b' [1, -Infinity]', 'holds -Infinity, which is not JSON, ending at character 14'),
        (b'Infinity', 'holds Infinity, which is not JSON, ending at character 8'),
        (b'[1e999]', "holds the number '1e999', which is out of range, ending at character 6"),
        (b'[-1e400]', "holds the number '-1e400', which is out of range, ending at character 7"),
        (b'{"a":{"k":1,"b":2,"\\u006b":3}}', "holds the key 'k' twice in one object, ending at character 29"),
        (b'["\\ud800"]', 'holds a lone surrogate at character 2'),
        (b'["\\ude00\\ud83d"]', 'holds a lone surrogate at character 2'),
        (b'["\\ud83d\\uD83D\\uDE00"]', 'holds a lone surrogate at character 2'),
        (b'["\\\\ud83d\\ude00"]', 'holds a lone surrogate at character 9'),
        (b'{"\\uDFFF": 1}', 'holds a lone surrogate at character 2'),
    ],
)
def test_a_bad_body_is_told_what_and_where(body: bytes, words: str) -> None:
    """The error says what is wrong and at which character or byte."""
    assert words in fault(body)


@pytest.mark.parametrize(
    ('body', 'payload'),
    [
        (b' \r\n\t{"a": [1, 2.5, null, true]} \n', {'a': [1, 2.5, None, True]}),
        (b'"text"', 'text'),
        (b'0', 0),
        (b'"\\ud83d\\ude00 \\\\ud800 \\ud7ff \\"\\u00fc"', '\U0001f600 \\ud800 \ud7ff "ü'),
        (b'[1e308, -1.7976931348623157e308, 1e-999]', [1e308, -1.7976931348623157e308, 0.0]),
        (b'{"__type__": 1}', {'__type__': 1}),
    ],
)
def test_a_good_body_is_a_payload(body: bytes, payload: Any) -> None:
    """White space around, bare values and paired surrogates are fine."""
    assert payload_of(body) == payload


def test_depth_and_digits_are_told_with_their_place() -> None:
    """The place is where the limit is passed."""
    assert 'holds too many levels, ending at character ' in fault(b'[' * 100_000)
    assert 'holds an integer of too many digits, ending at character 4302' in fault(
        b'[' + b'1' * 10_000 + b']'
    )


def test_a_flaw_far_into_a_long_body_is_told_without_its_place() -> None:
    """Finding it would take longer than it is worth."""
    assert fault(b'[' + b'1,' * 500_000 + b'NaN]') == 'the JSON body holds NaN, which is not JSON'


TOKENS = [
    *('{', '}', '[', ']', ',', ':', ' ', '"a"', '"\\', '"\\ud800"', '-1', '1e999', 'NaN', 'null'),
    *('"__type__"', '"__value__"', '"uuid"', '"date"', '"decimal"', '{"hex":"x"}'),
    '{"__type__":"bytes","__value__":',
]


@given(st.lists(st.sampled_from(TOKENS)))
def test_no_almost_json_raises_anything_but_a_payload_error(tokens: list[str]) -> None:
    """The same for what looks like JSON and like kombu's tags."""
    try:
        payload_of(''.join(tokens).encode())
    except PayloadError:
        pass
