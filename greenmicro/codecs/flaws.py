"""How a flaw in what a peer sent is told: by its kind, and by quoting little."""

from __future__ import annotations

from typing import Any

#: So many characters of a body are quoted in an error, at the most: bodies carry personal data.
QUOTE_LIMIT = 40


class FlawError(ValueError):
    """Something that JSON's scanner would read, but no payload may hold; its text says what."""


def quoted(value: Any) -> str:
    """Quote a little of what a peer sent; of what is no text, its type."""
    text = repr(value[:QUOTE_LIMIT]) if isinstance(value, str) else type(value).__name__
    return text if len(text) <= QUOTE_LIMIT else f'{text[: QUOTE_LIMIT - 3]}...'
