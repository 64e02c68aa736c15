"""The contract of brokers, for each of them: what a publisher is told."""

from typing import Any

import gevent
import pytest

from greenmicro.brokers.base import Broker
from greenmicro.errors import PayloadError, PublishError, StoppingError, UnroutableError
from tests.brokers.sides import DEADLINE_S, Listen, NewSide, bodies, event, to_queue


def test_mandatory_needs_a_queue(broker: Broker) -> None:
    """A mandatory message that no queue takes is an error; one that is not mandatory is dropped."""
    with pytest.raises(UnroutableError):
        broker.publish(event(routing_key='nobody'))
    with pytest.raises(UnroutableError):
        broker.publish(to_queue('nobody'))
    broker.publish(event(routing_key='nobody', mandatory=False))
    broker.publish(to_queue('nobody', mandatory=False))


def test_unknown_exchange_is_an_error(broker: Broker, listen: Listen) -> None:
    """To an exchange that nobody has declared nothing is published, and the next message gets through."""
    inbox = listen('work')
    with pytest.raises(PublishError):
        broker.publish(event(exchange='nobody.events', mandatory=False))
    broker.publish(event(b'1'))
    assert bodies(inbox, 1) == [b'1']


@pytest.mark.parametrize(
    'unfit',
    [
        {'headers': {'a': object()}},
        {'headers': {'a': [{'b': {1, 2}}]}},
        {'headers': {'a': 2**64}},
        {'headers': {'x' * 256: 1}},
        {'timestamp': 'today'},
        {'priority': 256},
        {'message_id': 'x' * 256},
        {'routing_key': 'x' * 256},
    ],
    ids=['object', 'nested set', 'large int', 'long name', 'timestamp', 'priority', 'long id', 'long key'],
)
def test_what_amqp_cannot_carry_is_refused(broker: Broker, listen: Listen, unfit: dict[str, Any]) -> None:
    """A header or property that has no form in AMQP is the publisher's error, and harms nobody else."""
    inbox = listen('work')
    with pytest.raises(PayloadError):
        broker.publish(event(**unfit))
    broker.publish(event(b'1'))
    assert bodies(inbox, 1) == [b'1']


def test_each_publisher_gets_its_own_result(broker: Broker, listen: Listen) -> None:
    """Of a hundred publishes at once each one is confirmed, or told that no queue takes it."""
    inbox = listen('work', routing_key='yes', prefetch=100)

    def publish(number: int) -> str:
        try:
            broker.publish(event(b'%d' % number, 'no' if number % 2 else 'yes', message_id=f'm-{number}'))
        except UnroutableError:
            return 'unroutable'
        return 'confirmed'

    publishers = [gevent.spawn(publish, number) for number in range(100)]
    results = [publisher.get(timeout=DEADLINE_S) for publisher in publishers]
    assert results == ['confirmed', 'unroutable'] * 50
    assert {int(body) for body in bodies(inbox, 50)} == set(range(0, 100, 2))


def test_publish_from_where_messages_are_worked_off(broker: Broker, new_side: NewSide) -> None:
    """A service publishes on the broker that it consumes from, also between stop and close."""
    side = new_side()
    first, second = (
        side.subscribe('first', routing_key='first'),
        side.subscribe('second', routing_key='second'),
    )
    side.start_ready()
    broker.publish(event(b'1', 'first'))
    message = first.next()
    side.broker.publish(event(b'2', 'second'))
    first.ack(message)
    assert second.take_acked(1) == [b'2']


def test_stop_ends_delivery_but_not_publishing(broker: Broker, listen: Listen) -> None:
    """After a stop nothing more is delivered, and publishing and settling go on."""
    stopped = listen('work', prefetch=1)
    broker.publish(event(b'0'))
    message = stopped.next()
    stopped.side.stop()
    assert stopped.consumer.begin(message)
    stopped.ack(message)
    for number in range(1, 4):
        stopped.side.broker.publish(event(b'%d' % number))
    assert bodies(listen('work'), 3) == [b'1', b'2', b'3']
    assert not len(stopped)


def test_publish_after_close_is_refused(broker: Broker, listen: Listen) -> None:
    """A closed broker says that the service has stopped."""
    inbox = listen('work')
    inbox.side.close()
    with pytest.raises(StoppingError):
        inbox.side.broker.publish(event())
