"""What a failed message gets: so far its dead letter, as it is published to the dead queue."""

from __future__ import annotations

import base64
import socket
import time
from typing import Any

from greenmicro.messages import ATTEMPT_HEADER, Failure, Message, Publication

#: What is added to a queue's name to name the queue of its dead letters.
DEAD_SUFFIX = '.dead'
#: Unreadable property bytes are kept up to this length; headers must stay well below a frame (128 kB).
UNREADABLE_LIMIT = 16_000


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
        refuses one that is not the connection's own).
    """
    headers: dict[str, Any] = {
        **{key: value for key, value in message.headers.items() if key != 'x-death'},
        ATTEMPT_HEADER: message.attempt,
        'greenmicro.reason': failure.reason,
        'greenmicro.error': failure.error,
        'greenmicro.traceback': failure.traceback,
        'greenmicro.origin_exchange': message.exchange,
        'greenmicro.origin_routing_key': message.routing_key,
        'greenmicro.origin_queue': message.queue,
        'greenmicro.host': socket.gethostname(),
        'greenmicro.time': int(time.time()),
    }
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
