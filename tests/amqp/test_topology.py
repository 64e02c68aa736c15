"""Names and kinds of exchanges and queues: nameko's, byte for byte."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from greenmicro.amqp.topology import (
    Delay,
    Exchange,
    Queue,
    dead_queue_of,
    delay_of,
    event_exchange,
    event_queue_name,
    name_fault,
    queue_of_type,
)
from tests.fakes import settings


@pytest.mark.parametrize(
    ('declare', 'exchange'),
    [
        ('durable', Exchange('orders.events', 'topic', True, False, True)),
        ('auto_delete', Exchange('orders.events', 'topic', True, True, True)),
        ('never', Exchange('orders.events', 'topic', True, False, False)),
    ],
)
def test_events_go_through_the_sources_exchange(declare: str, exchange: Exchange) -> None:
    """`{source}.events`, topic, durable; auto-delete beside old nameko, or not declared at all."""
    assert event_exchange('orders', settings(DECLARE_EXCHANGES=declare)) == exchange


@pytest.mark.parametrize('target', ['tasks.ship', 'shop.tasks.ship', 'a.b.Class.ship'])
def test_a_queue_is_named_after_the_last_part_of_the_target(target: str) -> None:
    """A module can be renamed without stranding a backlog; this is nameko's name for method `ship`."""
    assert event_queue_name('orders', 'order.*', 'shop', target) == 'evt-orders-order.*--shop.ship'


@pytest.mark.parametrize(
    ('queue_type', 'arguments'),
    [
        (None, {}),
        ('classic', {'x-queue-type': 'classic'}),
        ('quorum', {'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000}),
    ],
)
def test_work_queues_are_durable_and_bare_unless_a_type_is_wanted(
    queue_type: str | None, arguments: dict[str, Any]
) -> None:
    """nameko loops on 406 when a shared queue has any; quorum queues must not drop what is given back."""
    assert queue_of_type('q', queue_type) == Queue('q', True, False, False, arguments)


@pytest.mark.parametrize('queue_type', [None, 'classic', 'quorum'])
def test_dead_letters_have_the_type_of_their_queue(queue_type: str | None) -> None:
    """Whichever it is."""
    assert dead_queue_of(queue_of_type('q', queue_type)) == queue_of_type('q.dead', queue_type)


@pytest.mark.parametrize('queue', ['q' * 250, 'ä' * 125])
def test_a_name_of_250_bytes_is_possible(queue: str) -> None:
    """With `.dead` it has 255."""
    assert name_fault(queue) is None


@pytest.mark.parametrize('queue', ['q' * 251, 'ä' * 126, '\udc80' * 100])
def test_a_longer_name_is_a_fault(queue: str) -> None:
    """Bytes count, not characters; and its dead queue counts in."""
    fault = name_fault(queue)
    assert fault is not None
    assert fault.startswith(f"queue name {queue!r}, with '.dead': wanted at most 255 bytes, found ")


def test_declarations_are_frozen() -> None:
    """They are shared by connections that come and go."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Queue('q').name = 'other'  # type: ignore[misc]


AT_LEAST_ONCE = {
    'x-queue-type': 'quorum',
    'x-message-ttl': 2000,
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
}


def test_retries_wait_in_a_quorum_queue_that_loses_nothing() -> None:
    """And go from there to the queue that their routing key names."""
    arguments = {**AT_LEAST_ONCE, 'x-dead-letter-exchange': ''}
    assert delay_of('', 1.7) == Delay(
        Exchange('greenmicro.delay.2000', 'fanout'), Queue('greenmicro.delay.2000', arguments=arguments), ''
    )


def test_delayed_events_go_to_their_exchange_and_to_where_they_are_dropped() -> None:
    """So that one that nobody listens to holds no others up."""
    arguments = {**AT_LEAST_ONCE, 'x-dead-letter-exchange': 'greenmicro.due.shop.events'}
    name = 'greenmicro.delay.2000.shop.events'
    assert delay_of('shop.events', 2) == Delay(
        Exchange(name, 'fanout'),
        Queue(name, arguments=arguments),
        'shop.events',
        Exchange('greenmicro.due.shop.events', 'fanout'),
        Queue('greenmicro.unheard', arguments={'x-queue-type': 'quorum', 'x-max-length': 0}),
    )
