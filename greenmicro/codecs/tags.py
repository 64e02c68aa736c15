"""kombu's tags: how a datetime, date, time, Decimal, UUID or bytes is written in JSON, and read back.

A tagged value is an object of two keys: `{"__type__": "date", "__value__": "2024-02-29"}`.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from typing import Any

from greenmicro.codecs.flaws import FlawError, quoted
from greenmicro.codecs.late import load

#: A tag to what makes the value from its text.
_FROM_TAG: dict[Any, Callable[[Any], Any]] = {
    'datetime': lambda value: load('datetime.datetime').fromisoformat(value),
    'date': lambda value: load('datetime.datetime').fromisoformat(value).date(),
    'time': lambda value: load('datetime.time').fromisoformat(value),
    'decimal': lambda value: load('decimal.Decimal')(str.strip(value)),
    'uuid': lambda value: load('uuid.UUID')(hex=value['hex']),
    'bytes': lambda value: str.encode(value),
    'base64': lambda value: load('base64.b64decode')(str.encode(value), validate=True),
}
#: A type, by its name as it need not be imported, to its tag and what makes the text.
_TO_TAG: dict[str, tuple[str, Callable[[Any], Any]]] = {
    'datetime.datetime': ('datetime', lambda value: value.isoformat()),
    'datetime.date': ('date', lambda value: value.isoformat()),
    'datetime.time': ('time', lambda value: value.isoformat()),
    'decimal.Decimal': ('decimal', str),
    'uuid.UUID': ('uuid', lambda value: {'hex': value.hex}),
    'builtins.bytes': ('bytes', bytes.decode),
}


def untagged(payload: dict[str, Any]) -> Any:
    """Make the value that a tagged object stands for; an object with an unknown tag stays as it is.

    Args:
        payload: Has the keys `__type__` and `__value__`, and no others.

    Raises:
        FlawError: The value is not what its tag says.
    """
    tag, value = payload['__type__'], payload['__value__']
    if not isinstance(tag, str) or tag not in _FROM_TAG:
        return payload
    try:
        return _FROM_TAG[tag](value)
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError):
        raise FlawError(f'{quoted(value)}, which is tagged as {tag} and is none') from None


def tagged(value: Any) -> Any:
    """Make what stands in JSON for a value that JSON does not know, as kombu does.

    Raises:
        TypeError: It has no `__json__`, and no tag either.
    """
    if (reduce := getattr(value, '__json__', None)) is not None:
        return reduce()
    for base in type(value).__mro__:
        tag, convert = _TO_TAG.get(f'{base.__module__}.{base.__qualname__}', ('', None))
        if convert:
            try:
                return {'__type__': tag, '__value__': convert(value)}
            except UnicodeDecodeError:
                text = binascii.b2a_base64(value, newline=False).decode()
                return {'__type__': 'base64', '__value__': text}
    raise TypeError(
        'only dict, list, tuple, str, int, float, bool, None, datetime, date, time, Decimal, UUID, '
        'bytes and objects with __json__ can be encoded'
    )
