"""What a message keeps on its way through AMQP: plain copies of what the protocol can carry."""

from __future__ import annotations

import calendar
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from greenmicro.errors import PayloadError, RefusedError
from greenmicro.messages import EMPTY

#: AMQP 0-9-1, section 4.2.5.3: a short string has at most 255 bytes.
SHORT_LIMIT = 255
LONG_LONG = 2**63

_PLAIN = frozenset((str, float, bool, type(None)))
_NESTED = frozenset((dict, list))


def carried_headers(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return headers as they come out of AMQP: a tuple as a list, bytes as a text where they are one.

    Raises:
        PayloadError: A value is of a type that AMQP has no form for.
    """
    return _carried_table(headers) if headers else EMPTY


def carried_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties that AMQP knows, without those that are None.

    Raises:
        PayloadError: A value is not of its property's type.
    """
    carried = {}
    for name, value in properties.items():
        fits = _PROPERTIES.get(name)
        if fits is None or value is None:
            continue
        if not fits(value):
            raise PayloadError(f'property {name}: AMQP cannot carry {value!r}')
        carried[name] = value
    return carried


def copied_headers(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a copy of carried headers, so that who receives them may change them."""
    if not headers:
        return EMPTY
    return {key: _copied(value) if type(value) in _NESTED else value for key, value in headers.items()}


def check_name(what: str, name: str) -> None:
    """See to it that a name fits into a short string.

    Raises:
        PayloadError: It does not.
    """
    # At most four bytes a character: most names need no encoding to be judged.
    if len(name) > SHORT_LIMIT // 4 and len(name.encode()) > SHORT_LIMIT:
        raise PayloadError(f'{what}: wanted at most {SHORT_LIMIT} bytes, found {name[:40]!r}...')


def time_to_live(properties: Mapping[str, Any]) -> float | None:
    """Return how long a message may wait in a queue, in seconds; None for ever.

    Raises:
        RefusedError: Its `expiration` is no whole number of milliseconds.
    """
    expiration = properties.get('expiration')
    if expiration is None:
        return None
    if not (expiration.isascii() and expiration.isdigit()):
        raise RefusedError(f"expiration: wanted milliseconds as a text, like '1500', found {expiration!r}")
    return int(expiration) / 1000


def _carried_table(table: Mapping[str, Any]) -> dict[str, Any]:
    carried = {}
    for key, value in table.items():
        if not _is_short(key):
            raise PayloadError(f'header {key!r}: wanted a name of at most {SHORT_LIMIT} bytes')
        carried[key] = value if type(value) in _PLAIN else _carried_value(key, value)
    return carried


def _carried_value(key: str, value: Any) -> Any:
    for kind, carry in _CARRY:
        if isinstance(value, kind):
            return carry(key, value)
    raise PayloadError(f'header {key!r}: AMQP cannot carry a {type(value).__name__}')


def _carried_bytes(key: str, value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _carried_int(key: str, value: int) -> int:
    if not -LONG_LONG <= value < LONG_LONG:
        raise PayloadError(f'header {key!r}: AMQP carries integers of 64 bits, found {value!r}')
    return int(value)


def _carried_decimal(key: str, value: Decimal) -> Decimal:
    exponent = value.as_tuple().exponent
    if not (isinstance(exponent, int) and -256 < exponent <= 0 and abs(value.scaleb(-exponent)) < 2**31):
        raise PayloadError(f'header {key!r}: AMQP carries decimals of 32 bits and a scale, found {value!r}')
    return Decimal(int(value.scaleb(-exponent))) / Decimal(10**-exponent)


def _carried_time(key: str, value: datetime) -> datetime:
    seconds = calendar.timegm(value.utctimetuple())
    return datetime.fromtimestamp(seconds, tz=timezone.utc).replace(tzinfo=None)


def _carried_list(key: str, value: list[Any] | tuple[Any, ...]) -> list[Any]:
    return [item if type(item) in _PLAIN else _carried_value(key, item) for item in value]


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if type(value) is list else value


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and (
        len(value) <= SHORT_LIMIT // 4 or len(value.encode('utf-8', 'surrogatepass')) <= SHORT_LIMIT
    )


def _is_octet(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 256


def _is_timestamp(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 2 * LONG_LONG


#: The order matters: a bool is an int, and a text may be a subclass of str (an enum's member).
_CARRY: tuple[tuple[Any, Callable[[str, Any], Any]], ...] = (
    (bool, lambda key, value: value),
    (int, _carried_int),
    (str, lambda key, value: str.__str__(value)),
    (float, lambda key, value: float(value)),
    (dict, lambda key, value: _carried_table(value)),
    ((list, tuple), _carried_list),
    (bytes, _carried_bytes),
    (datetime, _carried_time),
    (Decimal, _carried_decimal),
    (type(None), lambda key, value: None),
)
_PROPERTIES: dict[str, Callable[[Any], bool]] = {
    'content_type': _is_short,
    'content_encoding': _is_short,
    'delivery_mode': _is_octet,
    'priority': _is_octet,
    'correlation_id': _is_short,
    'reply_to': _is_short,
    'expiration': _is_short,
    'message_id': _is_short,
    'timestamp': _is_timestamp,
    'type': _is_short,
    'user_id': _is_short,
    'app_id': _is_short,
    'cluster_id': _is_short,
}
