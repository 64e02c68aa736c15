"""Producer: lets a target publish events of its own service."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from greenmicro import codecs
from greenmicro.amqp.topology import event_exchange
from greenmicro.delays import delay_fault
from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.messages import Publication

#: The properties that a target may set; a misspelt one would be dropped without a word.
PROPERTIES = frozenset(
    (
        *('app_id', 'cluster_id', 'content_encoding', 'content_type', 'correlation_id', 'delivery_mode'),
        *('expiration', 'message_id', 'priority', 'reply_to', 'timestamp', 'type', 'user_id'),
    )
)


class Producer(Dependency):
    """Injects `producer(event_name, payload, **options)`: publishes on this service's exchange.

    It returns when the broker has confirmed the event. An event that nobody listens to is confirmed as
    well, and dropped by the broker, unless `mandatory=True`.

    Example:
        >>> def place_order(payload, producer):
        ...     producer('order_placed', {'id': payload['id']})
        ...     producer('payment_due', {'id': payload['id']}, delay_s=3600)
    """

    def provide(self, context: WorkerContext) -> Iterator[Callable[..., None]]:
        """Yield the function that publishes; runs where the worker runs."""
        yield partial(_publish, context)


def _publish(
    context: WorkerContext,
    event_name: str,
    payload: Any,
    *,
    headers: dict[str, Any] | None = None,
    mandatory: bool = False,
    delay_s: float = 0,
    expiration_s: float | None = None,
    timeout_s: float | None = None,
    **properties: Any,
) -> None:
    """Publish an event and return when the broker has confirmed it.

    Args:
        context: Of the message that is being handled.
        event_name: The event's name, which is its routing key.
        payload: Anything that JSON, with kombu's type tags, can carry.
        headers: Application headers.
        mandatory: Whether it is an error if nobody listens.
        delay_s: How long the broker holds the event before anyone gets it, 0 to 86400 seconds, rounded up
            to a step; it survives a restart of this service and of the broker.
        expiration_s: How long the event may wait in a queue, 0 to 86400 seconds; then it is dropped.
        timeout_s: How long it may take until the broker has confirmed the event, 0 to 86400 seconds; None:
            the setting CONFIRM_TIMEOUT_S.
        **properties: Other AMQP basic properties, as `message_id`, `priority`.

    Raises:
        TypeError: The event name is no text, or a property is none; nothing was sent.
        ValueError: A delay, expiration or time-out is out of range, or the two cannot be had together, as the
            broker would count the expiration from the beginning of the delay; nothing was sent.
        PayloadError: The payload cannot be encoded; nothing was sent.
        PublishError: The event is not known to be safe with the broker.
    """
    if not isinstance(event_name, str) or not event_name:
        raise TypeError(f'event_name: wanted a text, found {event_name!r}')
    if unknown := properties.keys() - PROPERTIES:
        raise TypeError(f'{sorted(unknown)[0]}: wanted one of {", ".join(sorted(PROPERTIES))}')
    if expiration_s is not None:
        if 'expiration' in properties:
            raise TypeError('expiration: it is given twice, by expiration_s as well')
        if fault := delay_fault('expiration_s', expiration_s):
            raise ValueError(fault)
        properties['expiration'] = str(round(expiration_s * 1000))
    if timeout_s is not None and (fault := delay_fault('timeout_s', timeout_s)):
        raise ValueError(fault)
    if delay_s != 0:
        _check_delay(delay_s, mandatory, properties)
    body, content_type, content_encoding = codecs.encode(payload)
    exchange = event_exchange(context.settings.service_name, context.settings)
    context.publish(
        Publication(
            exchange.name,
            event_name,
            body,
            {
                'content_type': content_type,
                'content_encoding': content_encoding,
                'delivery_mode': 2,
                'priority': 0,
                'message_id': str(uuid.uuid4()),
                'timestamp': int(time.time()),
                **properties,
            },
            context.outgoing(headers),
            mandatory,
            delay_s or None,
            timeout_s,
        )
    )


def _check_delay(delay_s: float, mandatory: bool, properties: Mapping[str, Any]) -> None:
    if fault := delay_fault('delay_s', delay_s):
        raise ValueError(fault)
    if mandatory:
        raise ValueError(
            'mandatory: who listens is known at the end of the delay only; leave out one of both'
        )
    if properties.get('expiration') is not None:
        raise ValueError('expiration: it would end the delay; leave out one of both')
