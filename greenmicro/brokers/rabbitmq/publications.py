"""How a publication is packed into frames, and what AMQP cannot carry is refused before any is sent."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from amqp import spec
from amqp.exceptions import FrameSyntaxError
from amqp.serialization import dumps

from greenmicro.brokers.rabbitmq.frames import (
    BODY,
    CONTENT_HEAD,
    FRAME_OVERHEAD,
    HEADER,
    METHOD,
    METHOD_ID,
    pack_frame,
)
from greenmicro.errors import PayloadError
from greenmicro.messages import Publication

#: AMQP 0-9-1, section 4.2.5.3: what names and properties have at most, in bytes.
SHORT_LIMIT = 255
PUBLISH_HEAD = METHOD_ID.pack(*spec.Basic.Publish) + b'\0\0'

#: AMQP 0-9-1, section 1.8.2 of the reference: the properties in their order, from the highest flag down,
#: with the number of bits of those that are numbers. Headers stand third.
PROPERTIES: Mapping[str, int | None] = {
    'content_type': None,
    'content_encoding': None,
    'headers': None,
    'delivery_mode': 8,
    'priority': 8,
    'correlation_id': None,
    'reply_to': None,
    'expiration': None,
    'message_id': None,
    'timestamp': 64,
    'type': None,
    'user_id': None,
    'app_id': None,
    'cluster_id': None,
}
_LAYOUT = [(name, 0x8000 >> place, bits) for place, (name, bits) in enumerate(PROPERTIES.items())]


def pack_publication(channel: int, publication: Publication, frame_max: int) -> bytes:
    """Return the frames that publish a message.

    Args:
        channel: The channel's number.
        publication: What to publish, and where to.
        frame_max: The largest frame that the broker takes, in bytes.

    Raises:
        PayloadError: A name or property is too long or of a type that AMQP does not carry, or all of
            them do not fit into one frame, for which the broker would end the connection (501).
    """
    exchange, routing_key, body, properties, headers, mandatory = publication[:6]
    names = _pack_short('exchange', exchange) + _pack_short('routing key', routing_key)
    method = pack_frame(METHOD, channel, PUBLISH_HEAD + names + bytes([mandatory]))
    head = CONTENT_HEAD.pack(spec.Basic.CLASS_ID, 0, len(body)) + pack_properties(properties, headers)
    room = frame_max - FRAME_OVERHEAD
    if len(head) > room:
        raise PayloadError(f'headers: wanted at most {room} bytes in all, found {len(head)}')
    content = method + pack_frame(HEADER, channel, head)
    if len(body) <= room:
        return content + pack_frame(BODY, channel, body) if body else content
    pieces = [pack_frame(BODY, channel, body[at : at + room]) for at in range(0, len(body), room)]
    return b''.join([content, *pieces])


def pack_properties(properties: Mapping[str, Any], headers: Mapping[str, Any]) -> bytes:
    """Return the flags and values of AMQP basic properties; those that are None are left out.

    Raises:
        PayloadError: One is unknown, too long, or of a type that AMQP does not carry.
    """
    if not properties.keys() <= PROPERTIES.keys() or 'headers' in properties:
        unknown = ', '.join(sorted(map(repr, properties.keys() - (PROPERTIES.keys() - {'headers'}))))
        raise PayloadError(f'properties: AMQP has none named {unknown}')
    flags = 0
    values = []
    for name, flag, bits in _LAYOUT:
        if name == 'headers':
            if headers:
                flags |= flag
                values.append(_pack_headers(headers))
            continue
        value = properties.get(name)
        if value is not None:
            flags |= flag
            values.append(_pack_short(name, value) if bits is None else _pack_number(name, value, bits))
    return b''.join([flags.to_bytes(2, 'big'), *values])


def _pack_short(name: str, value: Any) -> bytes:
    if not isinstance(value, str):
        raise PayloadError(f'{name}: wanted a text, found {type(value).__name__}')
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        # No reader could read it, nor we a return of it.
        raise PayloadError(f'{name}: wanted a text, found one with a lone surrogate') from None
    if len(raw) > SHORT_LIMIT:
        raise PayloadError(f'{name}: wanted at most {SHORT_LIMIT} bytes, found {len(raw)}: {value[:40]!r}...')
    return bytes([len(raw)]) + raw


def _pack_number(name: str, value: Any, bits: int) -> bytes:
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise PayloadError(f'{name}: wanted a whole number from 0 to {(1 << bits) - 1}, found {value!r:.40}')
    return value.to_bytes(bits // 8, 'big')


def _pack_headers(headers: Mapping[str, Any]) -> bytes:
    try:
        packed: bytes = dumps('F', [headers])
    except (FrameSyntaxError, struct.error, ArithmeticError, TypeError, ValueError, AttributeError) as error:
        raise PayloadError(f'headers that AMQP cannot carry: {error}') from error
    except RecursionError:
        raise PayloadError('headers that AMQP cannot carry: nested too deeply') from None
    return packed
