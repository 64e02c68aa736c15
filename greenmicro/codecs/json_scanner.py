"""JSON text to values, within limits on digits, depth and numbers, and no key twice in an object."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from greenmicro.codecs.flaws import FlawError, quoted
from greenmicro.codecs.tags import untagged
from greenmicro.errors import PayloadError

#: Longer integers are refused, in digits: reading one takes time with the square of its length.
MAX_DIGITS = 4_300
#: Nesting that is refused even under a recursion limit that allows it: at 100,000 levels the C scanner
#: overran the stack and ended the process [M].
MAX_DEPTH = 10_000

#: Text and where to start, to value and where it ends; what it raises is StopIteration at a place where a
#: value is missing, json.JSONDecodeError, FlawError, ValueError for digits, RecursionError for depth.
Scanner = Callable[[str, int], tuple[Any, int]]


def _object(pairs: list[tuple[str, Any]]) -> Any:
    payload = dict(pairs)
    if len(payload) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise FlawError(f'the key {quoted(twice)} twice in one object')
    if len(payload) == 2 and '__type__' in payload and '__value__' in payload:
        return untagged(payload)
    return payload


def _float(digits: str) -> float:
    value = float(digits)
    if -sys.float_info.max <= value <= sys.float_info.max:
        return value
    raise FlawError(f'the number {quoted(digits)}, which is out of range')


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError
    return int(digits)


def _constant(name: str) -> Any:
    raise FlawError(f'{name}, which is not JSON')


def _scanner(**hooks: Any) -> Scanner:
    # The bare one: JSONDecoder.decode around it adds 0.7 us to 4.9, json.loads with the same hooks 3.1 [M].
    decoder: Any = json.JSONDecoder(
        object_pairs_hook=_object, parse_float=_float, parse_constant=_constant, **hooks
    )
    scan: Scanner = decoder.scan_once
    return scan


#: For a text of at most MAX_DIGITS characters: so few cannot stall the process, nor overrun its stack.
scan_short = _scanner()
#: The same with a limit of digits of its own, for a process that has lifted Python's.
scan_counting = _scanner(parse_int=_integer)


def scanner_of_long(text: str) -> Scanner:
    """Guard against what only a longer text holds, by the limits that the process has now.

    Raises:
        PayloadError: Its nesting might end the process.
    """
    if sys.getrecursionlimit() > MAX_DEPTH and (at := _deep_at(text)):
        raise PayloadError(f'the JSON body holds too many levels, ending at character {at}')
    digits: int = getattr(sys, 'get_int_max_str_digits', int)()
    return scan_short if 0 < digits <= MAX_DIGITS else scan_counting


def _deep_at(text: str) -> int | None:
    depth, inside = 0, False
    for match in re.finditer(r'["\[\]{}]|\\.', text, re.DOTALL):
        mark = match[0]
        if mark == '"':
            inside = not inside
        elif not inside:
            depth += 1 if mark in '[{' else -1
            if depth > MAX_DEPTH:
                return match.start()
    return None
