"""Brokers under test: a URI of either kind, sides on it, and one that publishes."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from greenmicro.brokers.base import Broker
from tests.brokers.sides import EVENTS, Inbox, Listen, NewSide, Side


@pytest.fixture(params=['memory', 'rabbitmq'])
def uri(request: pytest.FixtureRequest) -> str:
    """A broker of each kind that nobody else uses."""
    if request.param == 'memory':
        return f'memory://{uuid.uuid4().hex}'
    address: str = request.getfixturevalue('amqp_uri')
    return address


@pytest.fixture
def new_side(uri: str) -> Iterator[NewSide]:
    """Makes sides on the broker, which are closed at the end."""
    sides: list[Side] = []

    def make(**config: Any) -> Side:
        side = Side(uri, **config)
        sides.append(side)
        return side

    yield make
    for side in reversed(sides):
        side.close()


@pytest.fixture
def listen(new_side: NewSide) -> Listen:
    """Starts a service that consumes from one queue, and returns its inbox."""

    def start(*arguments: Any, **options: Any) -> Inbox:
        side = new_side()
        inbox = side.subscribe(*arguments, **options)
        side.start_ready()
        return inbox

    return start


@pytest.fixture
def broker(new_side: NewSide) -> Broker:
    """A broker that only publishes; it is open during the whole test."""
    side = new_side()
    side.broker.declare(EVENTS)
    return side.start_ready().broker
