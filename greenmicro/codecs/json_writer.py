"""A payload to its JSON body; and which element of a payload stands in the way of one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from greenmicro.codecs.flaws import QUOTE_LIMIT
from greenmicro.codecs.tags import tagged
from greenmicro.errors import PayloadError

_SEARCH_DEPTH = 100

_dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(',', ':'), default=tagged).encode


def write_json(payload: Any) -> bytes:
    """Write a payload as compact JSON in UTF-8.

    Raises:
        PayloadError: An element cannot be encoded; the message names its path and its type.
    """
    try:
        return _dump(payload).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(_culprit(payload, 'payload', (), error) or f'payload: {error}') from None


def _culprit(value: Any, path: str, above: tuple[Any, ...], error: Exception) -> str | None:
    """Find the first element that does not encode and say why; None when there is none."""
    if len(above) > _SEARCH_DEPTH:
        return f'{path[:100]}... is nested over {_SEARCH_DEPTH} levels deep and not searched further: {error}'
    if any(value is one for one in above):
        return f'{path} ({type(value).__name__}) contains itself'
    try:
        parts = _parts(value, path)
    except (TypeError, ValueError, RecursionError) as fault:
        return f'{path} ({type(value).__name__}): {fault}'
    found = (_culprit(part, place, (*above, value), error) for part, place in parts)
    return next(filter(None, found), None)


def _parts(value: Any, path: str) -> Iterable[tuple[Any, str]]:
    """List what an element is made of, each with its path; raise if the element itself does not encode."""
    if isinstance(value, dict):
        for key in value:
            _dump({key: None}).encode()
        return [(part, f'{path}[{repr(key)[:QUOTE_LIMIT]}]') for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [(part, f'{path}[{index}]') for index, part in enumerate(value)]
    if value is None or isinstance(value, (str, int, float)):
        (value if isinstance(value, str) else _dump(value)).encode()
        return []
    return [(tagged(value), path)]
