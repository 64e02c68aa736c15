"""What the value of a setting may be: how it is checked, and read from the environment."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from greenmicro import addresses, tls
from greenmicro.addresses import Address
from greenmicro.retry import Retry
from greenmicro.targets import check_path
from greenmicro.tls import TLS, check_tls
from greenmicro.uris import check_uri

#: AMQP carries a prefetch and a heartbeat in 16 bits.
SHORT = 65_535


class Kind(NamedTuple):
    """What a value may be.

    Attributes:
        wanted: What it must be, to be told when it is not.
        accept: Makes the setting from a value of the config; raises ValueError when it is not what is
            wanted, FaultError when it can say more.
        parse: Makes a value from the text of an environment variable, or raises ValueError.
    """

    wanted: str
    accept: Callable[[Any], Any]
    parse: Callable[[str], Any] = str


class FaultError(ValueError):
    """Says by itself what is wrong with a value."""


def found(value: Any) -> str:
    """Quote the beginning of a value, with its type."""
    return f'{repr(value)[:60]} ({type(value).__name__})'


def nearest(name: str, names: Iterable[str]) -> str:
    """Ask whether the most similar of some names was meant; '' when none is similar."""
    from difflib import get_close_matches  # for a fault only

    near = get_close_matches(name, names, 1)
    return f"; did you mean '{near[0]}'?" if near else ''


def count(high: int | None = None) -> Kind:
    """A whole number from 1 on."""
    limit = '' if high is None else f', at most {high}'
    return _number(f'a whole number, at least 1{limit}', lambda value: 1 <= value <= (high or value))


def one_of(values: Mapping[str, Any]) -> Kind:
    """One of some names; the setting is what the name stands for."""
    wanted = ', '.join(repr(value) for value in values)

    def accept(value: Any) -> Any:
        if not isinstance(value, str) or value not in values:
            raise FaultError(f'wanted one of {wanted}; found {found(value)}{nearest(str(value), values)}')
        return values[value]

    return Kind(f'one of {wanted}', accept)


def _number(
    wanted: str,
    valid: Callable[[Any], bool],
    make: type[int] | type[float] = int,
    parse: type[int] | type[float] = int,
) -> Kind:
    def accept(value: Any) -> Any:
        # By type and not isinstance: True is an int, and no number of workers.
        if type(value) not in {int, parse} or not -math.inf < value < math.inf or not valid(value):
            raise ValueError
        return make(value)

    return Kind(wanted, accept, parse)


def _checked(wanted: str, check: Callable[[object], str | None]) -> Kind:
    def accept(value: Any) -> str:
        if fault := check(value):
            raise FaultError(fault)
        return str(value)

    return Kind(wanted, accept)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _flag_of(text: str) -> bool | None:
    return {'true': True, '1': True, 'yes': True, 'false': False, '0': False, 'no': False}.get(text.lower())


def _is_whole(value: float) -> bool:
    return 1 <= value <= SHORT and value == int(value)


def _tls(value: Any) -> TLS:
    if faults := list(check_tls(value)):
        raise FaultError('; '.join(faults))
    return TLS(**value)


def _service_name(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 100:
        raise ValueError
    if any(mark.isspace() or not mark.isprintable() or mark == '/' for mark in value):
        raise ValueError
    return value


def _retry(value: Any) -> Retry:
    if isinstance(value, Mapping):
        names = [field.name for field in dataclasses.fields(Retry)]
        for name in value:
            if name not in names:
                raise FaultError(f'{name!r} is no argument of Retry{nearest(str(name), names)}')
        value = Retry(**value)
    if not isinstance(value, Retry):
        raise ValueError
    if faults := list(value.faults()):
        raise FaultError('; '.join(faults))
    return value


SECONDS = _number('seconds, more than 0', lambda value: value > 0, float, float)
SECONDS_FROM_0 = _number('seconds, at least 0', lambda value: value >= 0, float, float)
WHOLE_SECONDS = _number(f'whole seconds, 1 to {SHORT}', _is_whole, int, float)
FLAG = Kind('True or False', _flag, _flag_of)
NAME = Kind("1 to 100 characters, without white space, control characters and '/'", _service_name)
RETRY = Kind('a Retry, or its arguments as a dict; in the environment a JSON object', _retry, json.loads)
PATH = _checked('a dotted path', check_path)
ADDRESS = Kind(addresses.WANTED, Address.parse)
TLS_OPTIONS = Kind(tls.WANTED, _tls, json.loads)
URIS = _checked(
    "'amqp://user:password@host:5672/' (or amqps; several with ';' between) or 'memory://'", check_uri
)
