"""What a message's headers carry from hop to hop: the call chain, the caller's data, the deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

#: Before the name of each piece of data that travels with the calls; nameko's.
PREFIX = 'nameko.'
#: The ids of the calls that led here, newest last.
STACK_HEADER = f'{PREFIX}call_id_stack'
#: So many ids are kept, the newest; nameko's default is ten, and its own.
STACK_MOST = 11
#: When the caller waits no longer: milliseconds since 1970, by the caller's clock.
DEADLINE_HEADER = 'greenmicro.deadline'
#: Nobody waits longer than this, in seconds; what is later is no deadline.
DEADLINE_MOST_S = 86_400.0
#: Headers of W3C's trace context, which its tools look for under these names. A nameko hop puts its
#: prefix before them.
TRACE = ('traceparent', 'tracestate', 'baggage')
#: So much data is passed on, in characters of keys and values: headers of a frame's size end the connection.
MOST = 20_000


def data_of(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return what travels with the calls: names without the prefix, the call chain aside."""
    data = {
        key.removeprefix(PREFIX): value
        for key, value in headers.items()
        if key.startswith(PREFIX) and key != STACK_HEADER
    }
    for name in TRACE:
        if name in headers:
            data[name] = headers[name]
    return data


def stack_of(headers: Mapping[str, Any]) -> list[str]:
    """Return the ids of the calls that led to a message, newest last; what is no such list is empty."""
    stack = headers.get(STACK_HEADER)
    if not isinstance(stack, list):
        return []
    return [call_id for call_id in stack if isinstance(call_id, str)][-(STACK_MOST - 1) :]


def deadline_of(headers: Mapping[str, Any]) -> float | None:
    """Return when the caller waits no longer, in seconds since 1970; None where nobody does."""
    deadline = headers.get(DEADLINE_HEADER)
    # By type: True is an int.
    if type(deadline) is not int or not 0 < deadline / 1000 <= time.time() + DEADLINE_MOST_S:
        return None
    return deadline / 1000


def headers_for(data: Mapping[str, Any], stack: list[str]) -> dict[str, Any]:
    """Return the headers with which what travels goes on, as far as there is room."""
    headers: dict[str, Any] = {STACK_HEADER: stack}
    headers.update(_fitting(data))
    for name in TRACE:
        if f'{PREFIX}{name}' in headers:
            headers[name] = headers[f'{PREFIX}{name}']
    return headers


def _fitting(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    room = MOST
    for key, value in data.items():
        size = _size(key, value)
        if size <= room:
            room -= size
            yield f'{PREFIX}{key}', value


def _size(key: str, value: Any) -> int:
    try:
        return len(key) + len(repr(value))
    except RecursionError:
        return MOST + 1
