"""Producer: lets a target publish events of its own service."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from greenmicro import codecs
from greenmicro.amqp.topology import event_exchange
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
    **properties: Any,
) -> None:
    """Publish an event and return when the broker has confirmed it.

    Args:
        context: Of the message that is being handled.
        event_name: The event's name, which is its routing key.
        payload: Anything that JSON, with kombu's type tags, can carry.
        headers: Application headers.
        mandatory: Whether it is an error if nobody listens.
        **properties: Other AMQP basic properties, as `message_id`, `priority`, `expiration`.

    Raises:
        TypeError: The event name is no text, or a property is none; nothing was sent.
        PayloadError: The payload cannot be encoded; nothing was sent.
        PublishError: The event is not known to be safe with the broker.
    """
    if not isinstance(event_name, str) or not event_name:
        raise TypeError(f'event_name: wanted a text, found {event_name!r}')
    if unknown := properties.keys() - PROPERTIES:
        raise TypeError(f'{sorted(unknown)[0]}: wanted one of {", ".join(sorted(PROPERTIES))}')
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
            headers or {},
            mandatory,
        )
    )
