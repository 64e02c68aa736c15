"""Types of queues, on RabbitMQ: declared as wanted, and told when they differ."""

from collections.abc import Callable

import pytest

from greenmicro.amqp.topology import queue_of_type
from tests.brokers.sides import NewSide
from tests.support.amqp_client import Client
from tests.support.erlang import binary
from tests.support.patience import PATIENCE_S
from tests.support.rabbitmq import Node

TYPES = ('classic', 'quorum')


@pytest.fixture
def uri(amqp_uri: str) -> str:
    """These tests are about RabbitMQ alone."""
    return amqp_uri


@pytest.fixture
def type_of(rabbitmq: Node, vhost: str) -> Callable[[str], str]:
    """Asks the broker for the type of a queue."""

    def ask(queue: str) -> str:
        name = f'rabbit_misc:r({binary(vhost)}, queue, {binary(queue)})'
        answer = rabbitmq.eval(f'{{ok, Q}} = rabbit_amqqueue:lookup({name}), amqqueue:get_type(Q).')
        return answer.removeprefix('rabbit_').removesuffix('_queue')

    return ask


@pytest.mark.parametrize('setting', [None, *TYPES])
@pytest.mark.parametrize('queue_type', TYPES)
def test_a_queue_and_its_dead_letters_have_the_type_of_the_listener(
    queue_type: str,
    setting: str | None,
    new_side: NewSide,
    amqp_client: Client,
    type_of: Callable[[str], str],
) -> None:
    """Whatever the setting says of others."""
    side = new_side(QUEUE_TYPE=setting)
    inbox = side.subscribe(queue_of_type('q', queue_type))
    side.start_ready()
    amqp_client.publish('', 'q', {})
    inbox.dead_letter(inbox.next())
    amqp_client.wait_for_counts('q.dead', ready=1)
    assert (type_of('q'), type_of('q.dead')) == (queue_type, queue_type)


@pytest.mark.parametrize('queue_type', TYPES)
def test_another_type_at_start_is_fatal(queue_type: str, new_side: NewSide, amqp_client: Client) -> None:
    """The error names the queue, and what differs."""
    (other,) = set(TYPES) - {queue_type}
    amqp_client.declare_queue('mine', arguments={'x-queue-type': other})
    side = new_side()
    side.subscribe(queue_of_type('mine', queue_type))
    side.start()
    error = str(side.fatal.get(timeout=PATIENCE_S))
    for told in ("queue 'mine'", "'x-queue-type'", f"'{queue_type}'", f"'{other}'"):
        assert told in error
