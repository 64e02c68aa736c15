"""Errands, against RabbitMQ: a refusal is told with its cause, and costs nobody else's channel."""

from collections.abc import Callable
from typing import Any

import gevent
import pytest
from amqp.exceptions import NotFound

from greenmicro.brokers.rabbitmq.broker import RabbitBroker
from greenmicro.brokers.rabbitmq.connection import Connection
from greenmicro.brokers.rabbitmq.errands import run_errand
from greenmicro.errors import BrokerError, UnavailableError
from tests.brokers.rabbitmq.faults import close_connections
from tests.brokers.sides import Side, to_queue
from tests.support.amqp_client import Client
from tests.support.patience import PATIENCE_S
from tests.support.rabbitmq import Node


@pytest.fixture
def uri(amqp_uri: str) -> str:
    """These tests are about RabbitMQ alone."""
    return amqp_uri


@pytest.fixture
def broker(new_side: Callable[..., Side]) -> RabbitBroker:
    found = new_side().start_ready().broker
    assert isinstance(found, RabbitBroker)
    return found


def connection_of(broker: RabbitBroker) -> Connection:
    connection = broker._publisher.connection
    assert connection is not None
    return connection


def test_an_errand_is_done_when_it_returns(broker: RabbitBroker, amqp_client: Client) -> None:
    """And its channel is closed."""
    connection = connection_of(broker)
    owners = dict(connection.wire.owners)
    run_errand(connection, lambda channel: channel.queue_declare('q', durable=True, auto_delete=False))
    assert amqp_client.queue_counts('q') == (0, 0)
    assert connection.wire.owners == owners


def test_a_refusal_is_told_with_its_cause_and_leaves_the_others_alone(
    broker: RabbitBroker, amqp_client: Client
) -> None:
    """Nothing of the publisher's is lost with the channel."""
    amqp_client.declare_queue('q')
    publisher_channel = broker._publisher._channel_id
    with pytest.raises(BrokerError, match='no queue') as raised:
        run_errand(connection_of(broker), lambda channel: channel.queue_declare('none', passive=True))
    assert isinstance(raised.value.__cause__, NotFound)
    broker.publish(to_queue('q'))
    assert broker._publisher._channel_id == publisher_channel


def test_a_connection_that_is_lost_meanwhile(broker: RabbitBroker, rabbitmq: Node) -> None:
    """It is no refusal, and does not hang."""

    def lose(channel: Any) -> None:
        assert close_connections(rabbitmq, 'publish')
        channel.queue_declare('q', durable=True)

    with gevent.Timeout(PATIENCE_S), pytest.raises(UnavailableError, match='lost meanwhile'):
        run_errand(connection_of(broker), lose)
