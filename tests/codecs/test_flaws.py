"""How flaws are told: little of a body, whatever is wrong with it."""

from __future__ import annotations

import pytest

from tests.codecs.bodies import fault


@pytest.mark.parametrize(
    'body',
    [
        b'[1, 2 "' + b'secret' * 50 + b'"]',
        b'{"' + b'secret' * 50 + b'": 1, "' + b'secret' * 50 + b'": 2}',
        b'{"__type__": "date", "__value__": "' + b'secret' * 50 + b'"}',
        b'[1' + b'1' * 400 + b'.0]',
        b'["\\u0041' + b'secret' * 50 + b'\\ud800"]',
        '["\N{ZERO WIDTH SPACE}'.encode() * 100,
    ],
)
def test_little_of_a_body_is_quoted(body: bytes) -> None:
    """Bodies carry personal data; an error has at most some 40 characters of one."""
    text = fault(body)
    assert text.count('secret') <= 6
    assert len(text) < 160
