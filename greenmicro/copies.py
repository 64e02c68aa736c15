"""The forms in which a message is published again: to the end of its queue, or to it after a delay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from greenmicro.messages import (
    ATTEMPT_HEADER,
    CRASHES_HEADER,
    SUSPICIONS_HEADER,
    Failure,
    Message,
    Publication,
    Reason,
)

#: Where a message was first published, for one that comes back through the default exchange.
ORIGIN_EXCHANGE = 'greenmicro.origin_exchange'
ORIGIN_ROUTING_KEY = 'greenmicro.origin_routing_key'
#: Put before an event exchange's name: through an exchange of that name delayed events come back to it.
DUE = 'greenmicro.due.'
#: What a queue counts, and further receivers, who have had their copies. What CC names would get it again.
OF_THE_QUEUE = frozenset(('x-delivery-count', 'x-acquired-count', 'CC', 'BCC'))
#: On a message that is on its last chance: from where it is delivered with this mark it is run, and no
#: other one with it.
ALONE_HEADER = 'greenmicro.alone'
#: How often a message was published to the end of its queue unrun. Each such copy has to differ from the one
#: before: it might else be taken for that one's redelivery.
MOVES_HEADER = 'greenmicro.moves'
#: What is held against a message until it has been run to an end.
SUSPECTED = frozenset((SUSPICIONS_HEADER, ALONE_HEADER, MOVES_HEADER))
#: What a broker writes of a message that it dead-lettered, as delays do; it drops a message that comes into
#: a queue for the second time with such a history.
HISTORY = frozenset(
    (
        'x-death',
        *('x-first-death-exchange', 'x-first-death-queue', 'x-first-death-reason'),
        *('x-last-death-exchange', 'x-last-death-queue', 'x-last-death-reason'),
    )
)


def copy_of(message: Message) -> Publication:
    """Return a message as it is published to the end of its own queue.

    It keeps what its sender gave, but for the user id, which the broker refuses if it is not ours.
    """
    properties = {key: value for key, value in message.properties.items() if key != 'user_id'}
    headers = _kept_headers(message)
    return Publication('', message.queue, message.body, properties, headers, mandatory=True)


def retry_of(message: Message, failure: Failure) -> Publication:
    """Return a failed message as it is published to its own queue after `failure.delay_s`.

    It counts one attempt more; or one crash more, where it took its worker process with it. It keeps what
    its sender gave, but for the user id, and its time-to-live: that was for the wait that is over.
    """
    properties = {
        key: value for key, value in message.properties.items() if key not in ('expiration', 'user_id')
    }
    headers = {key: value for key, value in _kept_headers(message).items() if key not in SUSPECTED}
    if failure.reason == Reason.WORKER_LOST:
        headers[CRASHES_HEADER] = message.crashes + 1
    else:
        headers[ATTEMPT_HEADER] = message.attempt
    return Publication('', message.queue, message.body, properties, headers, True, failure.delay_s)


def names_of(message: Message) -> tuple[str, str]:
    """Return the exchange and routing key with which a message was first published."""
    exchange, routing_key = message.exchange, message.routing_key
    if not exchange:
        origin = message.headers.get(ORIGIN_EXCHANGE)
        key = message.headers.get(ORIGIN_ROUTING_KEY)
        if isinstance(origin, str) and isinstance(key, str):
            return origin, key
    return exchange.removeprefix(DUE), routing_key


def _kept_headers(message: Message) -> dict[str, Any]:
    kept: Mapping[str, Any] = message.headers
    headers = {key: value for key, value in kept.items() if key not in OF_THE_QUEUE and key not in HISTORY}
    headers[ORIGIN_EXCHANGE] = message.exchange
    headers[ORIGIN_ROUTING_KEY] = message.routing_key
    return headers
