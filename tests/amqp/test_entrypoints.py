"""EventListener: what it subscribes to, what it passes on, and what is refused at start."""

from __future__ import annotations

from typing import Any

import pytest

from greenmicro.amqp.entrypoints import EventListener
from greenmicro.amqp.topology import Exchange, Queue, Subscription, queue_of_type
from greenmicro.messages import SUCCEEDED, Failure, Outcome, Settlement
from greenmicro.routes import Route
from tests.fakes import FakeService, message, settings

ROUTE = Route('tasks.ship')


def listening(service: FakeService, **options: Any) -> EventListener:
    listener = EventListener('orders', 'order.*', ROUTE, **options)
    listener.setup(service)  # type: ignore[arg-type]
    listener.start()
    return listener


def test_it_subscribes_to_its_own_queue() -> None:
    """Bound to the source's exchange with the event's name, at the service's prefetch."""
    service = FakeService(QUEUE_TYPE='quorum')
    listener = listening(service)
    ((subscription, receive),) = service.subscriptions
    arguments = {'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000}
    assert subscription == Subscription(
        Queue('evt-orders-order.*--shop.ship', arguments=arguments), Exchange('orders.events'), 'order.*', 12
    )
    received = message()
    receive(received)
    assert service.submitted == [(listener, received)]


def test_its_queue_can_be_named() -> None:
    """Where the default does not fit."""
    service = FakeService()
    listener = listening(service, queue='mine')
    assert service.subscriptions[0][0].queue == Queue('mine')
    assert listener.claim(service.settings) == 'queue mine'
    assert listener.describe() == 'orders.events / order.* -> tasks.ship (queue mine)'


def test_it_claims_its_queue() -> None:
    """Two listeners with one queue would each get a part of its messages."""
    assert EventListener('orders', 'placed', ROUTE).claim(settings()) == 'queue evt-orders-placed--shop.ship'


@pytest.mark.parametrize(
    ('own', 'setting', 'found'),
    [
        (None, None, None),
        (None, 'quorum', 'quorum'),
        ('classic', 'quorum', 'classic'),
        ('quorum', None, 'quorum'),
    ],
)
def test_its_queue_may_have_a_type_of_its_own(
    own: str | None, setting: str | None, found: str | None
) -> None:
    """It goes over that of the settings."""
    service = FakeService(QUEUE_TYPE=setting)
    listening(service, queue='q', queue_type=own)
    assert service.subscriptions[0][0].queue == queue_of_type('q', found)


@pytest.mark.parametrize('ours', [True, False])
def test_the_consumer_says_whether_a_message_is_still_ours(ours: bool) -> None:
    """Its channel may be lost by then."""
    service = FakeService()
    service.ours = ours
    assert listening(service).begin(message()) is ours
    assert listening(service).holds(message()) is ours


def test_settlements_go_to_the_consumer() -> None:
    """With the outcome, for the dead letter."""
    service, received = FakeService(), message()
    failed = Outcome.failed(Failure('target error', 'v'))
    listener = listening(service)
    listener.finished(received, SUCCEEDED)
    listener.finished(received, failed)
    assert service.settled == [
        (received, Settlement.ACK, SUCCEEDED),
        (received, Settlement.DEAD_LETTER, failed),
    ]


@pytest.mark.parametrize(
    ('arguments', 'fault'),
    [
        (('', 'placed'), "source_service: wanted a text, found ''"),
        ((None, 'placed'), 'source_service: wanted a text, found None'),
        (('orders', ''), "event_name: wanted a text, found ''"),
        (('orders', 3), 'event_name: wanted a text, found 3'),
        (('orders', 'placed', ROUTE, ''), "queue: wanted a text or None, found ''"),
        (('orders', 'placed', ROUTE, 3), 'queue: wanted a text or None, found 3'),
        (('orders', 'placed', ROUTE, 'q' * 251), 'queue name '),
        (('orders', 'p' * 240), 'queue name '),
        (
            ('orders', 'p', ROUTE, None, 'quorums'),
            "queue_type: wanted one of 'classic', 'quorum' or None, found",
        ),
        (
            ('orders', 'p', ROUTE, None, ['quorum']),
            "queue_type: wanted one of 'classic', 'quorum' or None, found",
        ),
        (('o' * 249, 'placed', ROUTE, 'q'), 'source_service: wanted at most 255 bytes, found 256'),
        (('orders', 'ä' * 128, ROUTE, 'q'), 'event_name: wanted at most 255 bytes, found 256'),
        (('orders', 'placed', Route('run')), "wanted a dotted path such as 'package.module.function', found"),
        (('orders', 'placed', Route(3)), "wanted a dotted path such as 'package.module.function', found"),  # type: ignore[arg-type]
        (('orders', 'placed', 'tasks.run'), 'wanted a route (route=Route(...)), found'),
    ],
    ids=lambda value: str(value)[:40],
)
def test_each_fault_is_one_sentence(arguments: tuple[Any, ...], fault: str) -> None:
    """It says what was wanted and what was found; settings with faults of their own do no harm."""
    given = (*arguments, ROUTE)[:3] if len(arguments) < 3 else arguments
    (only,) = EventListener(*given).faults(settings())
    assert only.startswith(fault)
    assert len(list(EventListener(*given).faults(None))) <= 1


def test_a_good_listener_has_no_faults() -> None:
    """With names at their limits."""
    assert not list(EventListener('o' * 248, 'e' * 255, ROUTE, 'q' * 250).faults(settings()))
    assert not list(EventListener('orders', '#', ROUTE).faults(settings()))
