"""Producer and Publisher: let a target publish, events of its own service or anything anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from greenmicro import codecs
from greenmicro.amqp.topology import Exchange, event_exchange_name
from greenmicro.delays import delay_fault
from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.ids import new_id
from greenmicro.messages import Publication

if TYPE_CHECKING:
    from greenmicro.settings import Settings

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
    well, and dropped by the broker, unless `mandatory=True`. The options are those of `publish`.

    Example:
        >>> def place_order(payload, producer):
        ...     producer('order_placed', {'id': payload['id']})
        ...     producer('payment_due', {'id': payload['id']}, delay_s=3600)
    """

    def provide(self, context: WorkerContext) -> Iterator[Callable[..., None]]:
        """Yield the function that publishes; runs where the worker runs."""
        yield partial(_publish_event, context, event_exchange_name(context.service))


class Publisher(Dependency):
    """Injects `publisher(routing_key, payload, **options)`: publishes on any exchange.

    It returns when the broker has confirmed the message. The options are those of `publish`.

    Args:
        exchange: An `Exchange` of `greenmicro.amqp.topology`, which is declared if it says so; the name of
            one that is there; or '', the default exchange, whose routing keys are queues' names.

    Example:
        >>> def work(payload, jobs):                     # dependencies={'jobs': Publisher()}
        ...     jobs('resize', {'id': payload['id']}, priority=5, mandatory=True)
    """

    def __init__(self, exchange: Exchange | str = '') -> None:
        self.exchange = exchange

    def publishes_on(self, settings: Settings) -> Iterable[Exchange]:
        """Name the exchange, if it is to be declared."""
        return [self.exchange] if isinstance(self.exchange, Exchange) else []

    def provide(self, context: WorkerContext) -> Iterator[Callable[..., None]]:
        """Yield the function that publishes; runs where the worker runs."""
        name = self.exchange.name if isinstance(self.exchange, Exchange) else self.exchange
        yield partial(publish, context, name)


def _publish_event(
    context: WorkerContext, exchange: str, event_name: str, payload: Any, **options: Any
) -> None:
    if not isinstance(event_name, str) or not event_name:
        raise TypeError(f'event_name: wanted a text, found {event_name!r}')
    publish(context, exchange, event_name, payload, **options)


def publish(
    context: WorkerContext,
    exchange: str,
    routing_key: str,
    payload: Any,
    *,
    headers: dict[str, Any] | None = None,
    mandatory: bool = False,
    delay_s: float = 0,
    expiration_s: float | None = None,
    timeout_s: float | None = None,
    **properties: Any,
) -> None:
    """Publish a message and return when the broker has confirmed it.

    Args:
        context: Of the message that is being handled.
        exchange: The name of an exchange; '' for the default one.
        routing_key: With which routing key.
        payload: Anything that JSON, with kombu's type tags, can carry; or with a `content_type` of its own,
            the body as bytes.
        headers: Application headers, beside those that travel with the calls.
        mandatory: Whether it is an error if no queue takes it.
        delay_s: How long the broker holds the message before anyone gets it, 0 to 86400 seconds, rounded up
            to a step; it survives a restart of this service and of the broker.
        expiration_s: How long the message may wait in a queue, 0 to 86400 seconds; then it is dropped.
        timeout_s: How long it may take until the broker has confirmed the message, 0 to 86400 seconds; None:
            the setting CONFIRM_TIMEOUT_S.
        **properties: Other AMQP basic properties, as `message_id`, `priority`.

    Raises:
        TypeError: The routing key is no text, or a property is none; nothing was sent.
        ValueError: A delay, expiration or time-out is out of range, or the two cannot be had together, as the
            broker would count the expiration from the beginning of the delay; nothing was sent.
        PayloadError: The payload cannot be encoded; nothing was sent.
        PublishError: The message is not known to be safe with the broker.
    """
    if not isinstance(routing_key, str):
        raise TypeError(f'routing_key: wanted a text, found {routing_key!r}')
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
    if isinstance(payload, bytes) and 'content_type' in properties:
        body, form = payload, {}
    else:
        body, content_type, content_encoding = codecs.encode(payload)
        form = {'content_type': content_type, 'content_encoding': content_encoding}
    context.publish(
        Publication(
            exchange,
            routing_key,
            body,
            {
                **form,
                'delivery_mode': 2,
                'priority': 0,
                'message_id': new_id(),
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
