"""Exchanges and queues in kombu's form, which declares and binds them."""

from __future__ import annotations

from typing import Any

import kombu

from greenmicro.amqp.topology import Exchange, Subscription


def kombu_exchange(exchange: Exchange) -> Any:
    """Return kombu's form of an exchange, which can declare itself."""
    return kombu.Exchange(
        exchange.name,
        type=exchange.kind,
        durable=exchange.durable,
        auto_delete=exchange.auto_delete,
        no_declare=not exchange.declared,
    )


def kombu_queue(subscription: Subscription) -> Any:
    """Return kombu's form of a queue and its binding, which can declare themselves."""
    queue, exchange = subscription.queue, subscription.exchange
    return kombu.Queue(
        queue.name,
        exchange=None if exchange is None else kombu_exchange(exchange),
        routing_key=subscription.routing_key,
        durable=queue.durable,
        exclusive=queue.exclusive,
        auto_delete=queue.auto_delete,
        queue_arguments=dict(queue.arguments) or None,
        no_declare=not queue.declared,
    )
