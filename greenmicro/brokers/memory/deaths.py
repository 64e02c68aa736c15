"""What a message looks like once a queue has dropped it: RabbitMQ's `x-death` headers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from greenmicro.brokers.memory.queues import Item
from greenmicro.brokers.memory.wire import copied_headers

DEATHS = 'x-death'


def after_death(item: Item, queue: str, reason: str) -> Item:
    """Return a dropped message as it is dead-lettered: with its history, and no time-to-live of its own.

    Args:
        item: The message.
        queue: The name of the queue that dropped it.
        reason: `expired` or `maxlen`.

    Source:
        https://www.rabbitmq.com/docs/dlx#effects
    """
    headers = dict(copied_headers(item.headers))
    deaths = _deaths(headers)
    same = [death for death in deaths if death['queue'] == queue and death['reason'] == reason]
    death = {**same[0], 'count': same[0]['count'] + 1} if same else _death(item, queue, reason)
    headers[DEATHS] = [death, *(other for other in deaths if other not in same)]
    for what in ('exchange', 'queue', 'reason'):
        headers.setdefault(f'x-first-death-{what}', death[what])
    properties = {key: value for key, value in item.properties.items() if key != 'expiration'}
    return Item(item.body, properties, headers, item.exchange, item.routing_key)


def goes_in_circles(item: Item, queue: str) -> bool:
    """Say whether a queue has dropped this message before; RabbitMQ then does not let it in again."""
    return any(death['queue'] == queue for death in _deaths(item.headers))


def _death(item: Item, queue: str, reason: str) -> dict[str, Any]:
    death = {
        'count': 1,
        'exchange': item.exchange,
        'queue': queue,
        'reason': reason,
        'routing-keys': [item.routing_key],
        # The protocol's timestamps are whole seconds of UTC, and amqp reads them without a zone.
        'time': datetime.now(tz=timezone.utc).replace(tzinfo=None, microsecond=0),
    }
    if 'expiration' in item.properties:
        death['original-expiration'] = item.properties['expiration']
    return death


def _deaths(headers: Mapping[str, Any]) -> list[dict[str, Any]]:
    # Anyone can write a header: what has not the shape of a history is none.
    deaths = headers.get(DEATHS)
    if not isinstance(deaths, list):
        return []
    return [death for death in deaths if isinstance(death, dict) and _is_death(death)]


def _is_death(death: dict[str, Any]) -> bool:
    return all(type(death.get(key)) is kind for key, kind in _SHAPE.items())


_SHAPE = {'count': int, 'exchange': str, 'queue': str, 'reason': str}
