"""What becomes of a body: its payload, the error it comes to, or what that costs."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest

from greenmicro.codecs import decode
from greenmicro.errors import ContentRefusedError, PayloadError
from greenmicro.messages import Message


def payload_of(
    body: bytes, content_type: Any = 'application/json', encoding: Any = None, **headers: Any
) -> Any:
    properties = {'content_type': content_type, 'content_encoding': encoding}
    return decode(Message(body, properties, headers))


def fault(body: bytes, *args: Any, **headers: Any) -> str:
    with pytest.raises(PayloadError) as caught:
        payload_of(body, *args, **headers)
    assert not isinstance(caught.value, ContentRefusedError)
    return str(caught.value)


LIFTED = """
import sys, threading
from greenmicro.codecs import decode
from greenmicro.errors import PayloadError
from greenmicro.messages import Message
sys.setrecursionlimit(10 ** 6)
if hasattr(sys, 'set_int_max_str_digits'):
    sys.set_int_max_str_digits(0)
def fault(body):
    try:
        return len(decode(Message(body, {'content_type': 'application/json'})))
    except PayloadError as error:
        return str(error)
print(fault(b'[' * 1_000_000))
print(fault(b'{"[[\\\\"": ' * 1_000_000))
print(fault(b'["[[", ' + b'[],' * 100_000 + b'{}]'))
print(fault(b'[' + b'1' * 1_000_000 + b']'))
print(fault(b'[' + b'1,' * 10_000 + b'1]'))
"""


def refusal(body: bytes, *args: Any, **headers: Any) -> str:
    with pytest.raises(ContentRefusedError) as caught:
        payload_of(body, *args, **headers)
    return str(caught.value)


def cost(body: bytes, **headers: Any) -> tuple[float, int]:
    """Take the CPU seconds that a bad body costs and, in a second run, the bytes at the peak."""
    begin = time.process_time()
    fault(body, **headers)
    seconds = time.process_time() - begin
    tracemalloc.start()
    try:
        fault(body, **headers)
        return seconds, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
