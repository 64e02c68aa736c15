"""The dead letter: a message that failed for good, as it is published to its queue's dead queue."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping
from typing import Any

from greenmicro.copies import HISTORY, OF_THE_QUEUE, ORIGIN_EXCHANGE, ORIGIN_ROUTING_KEY, SUSPECTED
from greenmicro.messages import ATTEMPT_HEADER, CRASHES_HEADER, Failure, Message, Publication, Reason

#: What is added to a queue's name to name the queue of its dead letters.
DEAD_SUFFIX = '.dead'
#: Unreadable property bytes are kept up to this length; headers must stay well below a frame (128 kB).
UNREADABLE_LIMIT = 16_000
#: So much of the message's own headers is kept, as text; AMQP takes up to 1.7 times that for the same.
HEADERS_LIMIT = 40_000
#: Not passed on: what the broker counts, and what would have it copy the letter to other queues, the work
#: queue among them, from where it would come again for ever; and what was held against it.
NOT_KEPT = HISTORY | OF_THE_QUEUE | SUSPECTED


def dead_queue_name(queue: str) -> str:
    """Return the name of the queue that takes a queue's dead letters."""
    return f'{queue}{DEAD_SUFFIX}'


def dead_letter(message: Message, failure: Failure) -> Publication:
    """Build the dead letter of a message: its body and properties, and why it failed.

    Args:
        message: The message as it was read from its queue.
        failure: Why it failed.

    Returns:
        A mandatory publication through the default exchange. It keeps the message's own properties,
        its time-to-live aside (a dead letter that expires is lost), and the user id (the broker
        refuses one that is not the connection's own). It keeps its headers too, as far as they fit into
        a frame; `greenmicro.headers_left_out` counts the others.
    """
    kept_headers = _fitting(message.headers)
    headers: dict[str, Any] = {
        **kept_headers,
        ATTEMPT_HEADER: message.attempt,
        'greenmicro.reason': failure.reason,
        'greenmicro.error': failure.error,
        'greenmicro.traceback': failure.traceback,
        ORIGIN_EXCHANGE: message.exchange,
        ORIGIN_ROUTING_KEY: message.routing_key,
        'greenmicro.origin_queue': message.queue,
        'greenmicro.host': os.uname().nodename,
        'greenmicro.time': int(time.time()),
    }
    if failure.reason == Reason.WORKER_LOST:
        headers[CRASHES_HEADER] = max(message.crashes, message.suspicions) + 1
    elif message.crashes:
        headers[CRASHES_HEADER] = message.crashes
    if left_out := len(message.headers.keys() - kept_headers.keys() - NOT_KEPT):
        headers['greenmicro.headers_left_out'] = left_out
    if message.unreadable is not None:
        headers['greenmicro.properties'] = base64.b64encode(message.unreadable[:UNREADABLE_LIMIT]).decode()
    kept = {key: value for key, value in message.properties.items() if key not in ('expiration', 'user_id')}
    return Publication(
        exchange='',
        routing_key=dead_queue_name(message.queue),
        body=message.body,
        properties={**kept, 'delivery_mode': 2},
        headers=headers,
        mandatory=True,
    )


def _fitting(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the headers that are passed on: in their order, as far as there is room."""
    kept, room = {}, HEADERS_LIMIT
    for key, value in headers.items():
        size = _size(key, value)
        if key not in NOT_KEPT and size <= room:
            kept[key] = value
            room -= size
    return kept


def _size(key: str, value: Any) -> int:
    try:
        return len(f'{key}: {value!r}'.encode('utf-8', 'backslashreplace'))
    except RecursionError:
        return HEADERS_LIMIT + 1
