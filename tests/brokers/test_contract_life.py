"""The contract of brokers, for each of them: starting, stopping, and times to live."""

import pytest

from greenmicro.amqp.topology import Exchange, Queue
from greenmicro.brokers.base import Broker
from greenmicro.errors import BrokerError, UnroutableError
from tests.brokers.sides import (
    DEADLINE_S,
    EVENTS,
    PROPERTIES,
    Listen,
    NewSide,
    bodies,
    event,
    expiring,
    to_queue,
)


def test_ready_means_consuming(new_side: NewSide) -> None:
    """Before the start a broker is not ready; once it is, all its queues are there."""
    side = new_side()
    inbox = side.subscribe('work')
    assert not side.broker.wait_ready(0.0)
    side.start()
    assert side.broker.wait_ready(DEADLINE_S)
    side.broker.publish(event(b'1'))
    assert bodies(inbox, 1) == [b'1']


def test_what_hinders_it_is_said(new_side: NewSide) -> None:
    """As long as it cannot consume and publish it says why; while it can, nothing."""
    side = new_side()
    side.subscribe('work')
    assert list(side.broker.hindrances())
    side.start_ready()
    assert list(side.broker.hindrances()) == []
    side.close()
    assert list(side.broker.hindrances())


@pytest.mark.parametrize(
    ('queue', 'exchange'),
    [
        (Queue('work', arguments={'x-max-length': 7}), EVENTS),
        (Queue('other'), Exchange(EVENTS.name, 'direct')),
        (Queue('other'), Exchange('nobody.events', declared=False)),
    ],
    ids=['queue', 'exchange', 'undeclared'],
)
def test_other_arguments_are_fatal(
    broker: Broker, listen: Listen, new_side: NewSide, queue: Queue, exchange: Exchange
) -> None:
    """A queue or an exchange that is there in another form stops the start, once, with its name."""
    listen('work')
    side = new_side()
    side.subscribe(queue, exchange)
    side.start()
    error = side.fatal.get(timeout=DEADLINE_S)
    assert isinstance(error, BrokerError)
    assert exchange.name in str(error) or queue.name in str(error)
    assert not side.broker.wait_ready(0.0)


def test_known_exchange_need_not_be_declared(broker: Broker, listen: Listen) -> None:
    """A subscription that declares no exchange binds to the one that is there."""
    inbox = listen('work', Exchange(EVENTS.name, declared=False))
    broker.publish(event(b'1'))
    assert bodies(inbox, 1) == [b'1']


def test_messages_wait_for_a_consumer(broker: Broker, listen: Listen) -> None:
    """A durable queue keeps what comes while nobody consumes, and no consumer gets anything twice."""
    listen('work').side.close()
    for number in range(20):
        broker.publish(event(b'%d' % number))
    assert listen('work').take_acked(20) == [b'%d' % number for number in range(20)]


def test_exclusive_queue_goes_with_its_service(broker: Broker, listen: Listen) -> None:
    """An exclusive queue is gone once its service has closed."""
    inbox = listen(Queue('mine', durable=False, exclusive=True, auto_delete=True))
    broker.publish(event(b'1'))
    assert bodies(inbox, 1) == [b'1']
    inbox.side.close()
    with pytest.raises(UnroutableError):
        broker.publish(to_queue('mine'))


# ---- Time


def test_time_to_live_and_dead_lettering_make_a_delay(broker: Broker, listen: Listen) -> None:
    """A message that expires in a delay queue arrives where the queue sends it, with its history."""
    inbox = listen('work')
    listen(expiring('delay', 80), Exchange('delay', 'fanout'), '').side.close()
    for number in range(3):
        broker.publish(event(b'%d' % number, 'work', exchange='delay', headers={'kept': 1}))
    messages = inbox.take(3)
    assert [message.body for message in messages] == [b'0', b'1', b'2']
    message = messages[0]
    assert (message.exchange, message.routing_key, message.queue) == ('', 'work', 'work')
    assert message.redelivered is False
    assert dict(message.properties) == PROPERTIES
    assert message.headers['kept'] == 1
    (death,) = message.headers['x-death']
    known = {key: death[key] for key in ('count', 'exchange', 'queue', 'reason', 'routing-keys')}
    assert known == {
        'count': 1,
        'exchange': 'delay',
        'queue': 'delay',
        'reason': 'expired',
        'routing-keys': ['work'],
    }


def test_message_expires_by_itself(broker: Broker, listen: Listen) -> None:
    """A message's own expiration ends its wait; it goes on without one, and one without it stays."""
    waiting = Queue(
        'waiting', arguments={'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'expired'}
    )
    listen(waiting, None, '').side.close()
    expired = listen('expired', None, '')
    broker.publish(to_queue('waiting', b'late', expiration='50'))
    broker.publish(to_queue('waiting', b'stays'))
    message = expired.next()
    assert message.body == b'late'
    assert 'expiration' not in message.properties
    assert message.headers['x-death'][0]['original-expiration'] == '50'
    assert message.headers['x-death'][0]['routing-keys'] == ['waiting']
    assert bodies(listen(waiting, None, ''), 1) == [b'stays']


def test_delivered_in_time_does_not_expire(broker: Broker, listen: Listen) -> None:
    """A time-to-live counts in the queue only: a message that is being worked on is not dropped."""
    expired, rung = listen('expired', None, ''), listen('rung', None, '')
    inbox = listen(expiring('short', 200, 'expired'), None, '')
    # A timer of the broker's own, well over the other one's time.
    listen(expiring('timer', 400, 'rung'), None, '').side.close()
    broker.publish(to_queue('short', b'held'))
    message = inbox.next()
    broker.publish(to_queue('timer'))
    rung.next()
    inbox.ack(message)
    assert not len(expired)
