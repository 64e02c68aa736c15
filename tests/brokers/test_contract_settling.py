"""The contract of brokers, for each of them: prefetch, settlements, dead letters."""

from typing import Any

import gevent
import pytest

from greenmicro.amqp.topology import Queue
from greenmicro.brokers.base import Broker
from greenmicro.errors import RefusedError
from greenmicro.messages import Message
from tests.brokers.sides import DEADLINE_S, EVENTS, PROPERTIES, Inbox, Listen, bodies, event, to_queue


def test_prefetch_bounds_what_is_unsettled(broker: Broker, listen: Listen) -> None:
    """A consumer has as many unsettled messages as its prefetch; the rest is there for others."""
    bounded = listen('work', prefetch=2)
    for number in range(5):
        broker.publish(event(b'%d' % number))
    assert bodies(bounded, 2) == [b'0', b'1']
    assert bodies(listen('work'), 3) == [b'2', b'3', b'4']
    assert not len(bounded)


def test_ack_makes_room(broker: Broker, listen: Listen) -> None:
    """With a prefetch of one the next message comes once the last is settled."""
    inbox = listen('work', prefetch=1)
    for number in range(3):
        broker.publish(event(b'%d' % number))
    for number in range(3):
        message = inbox.next()
        assert message.body == b'%d' % number
        assert not len(inbox)
        inbox.ack(message)


def test_acks_in_any_order(broker: Broker, listen: Listen) -> None:
    """Messages may be settled in another order than they came in; none of them comes again."""
    inbox = listen('work', prefetch=6)
    for number in range(12):
        broker.publish(event(b'%d' % number))
    first = inbox.take(6)
    inbox.ack(*reversed(first[1:]))
    second = inbox.take(5)
    inbox.ack(second[3], first[0], *second[:3], second[4])
    inbox.ack(inbox.next())
    inbox.side.close()
    broker.publish(event(b'marker'))
    assert bodies(listen('work'), 1) == [b'marker']


def test_two_consumers_share_a_queue(broker: Broker, listen: Listen) -> None:
    """Each message goes to one of a queue's consumers, and both get some."""
    one, two = listen('work', prefetch=1), listen('work', prefetch=1)
    sent = {b'%d' % number for number in range(40)}
    for body in sorted(sent):
        broker.publish(event(body))
    held = [(one, one.next()), (two, two.next())]  # neither could take both
    got: list[bytes] = []

    def work(inbox: Inbox, message: Any) -> None:
        while message.body != b'end':
            got.append(message.body)
            inbox.ack(message)
            message = inbox.next()

    workers = [gevent.spawn(work, *start) for start in held]
    for _ in workers:
        broker.publish(event(b'end'))
    gevent.joinall(workers, timeout=DEADLINE_S, raise_error=True)
    assert len(got) == len(sent)
    assert set(got) == sent


def came_back(message: Message) -> bool:
    """Whether it says that it was delivered before: a classic queue's is counted, and sent to its end."""
    return message.redelivered or message.suspicions == 1


def test_given_back_after_stop_goes_to_another(broker: Broker, listen: Listen) -> None:
    """What is given back after a stop is delivered to another service, which can tell it from a new one."""
    first = listen('work', prefetch=3)
    for number in range(5):
        broker.publish(event(b'%d' % number))
    messages = first.take(3)
    first.side.stop()
    first.ack(messages[1])
    first.give_back(messages[2], messages[0])
    first.side.close()
    again = listen('work').take(4)
    assert sorted(message.body for message in again) == [b'0', b'2', b'3', b'4']
    assert sorted(message.body for message in again if came_back(message)) == [b'0', b'2']
    assert not len(first)


def test_given_back_goes_to_who_waits(broker: Broker, listen: Listen) -> None:
    """What is given back after a stop goes at once to another consumer of the queue."""
    first = listen('work', prefetch=1)
    broker.publish(event(b'1'))
    message = first.next()
    second = listen('work')
    first.side.stop()
    first.give_back(message)
    again = second.next()
    assert again.body == b'1'
    assert came_back(again)
    second.ack(again)


def test_unsettled_at_close_comes_back(broker: Broker, listen: Listen) -> None:
    """What a service holds when it closes comes again: it is not ours to begin, nor to settle, any more."""
    first = listen('work', prefetch=3)
    for number in range(3):
        broker.publish(event(b'%d' % number))
    done, started = first.take(2)
    pending = first.receive()
    first.ack(done)
    assert first.consumer.holds(pending)
    first.side.close()
    assert not first.consumer.holds(pending)
    assert not first.consumer.begin(pending)
    first.ack(started)
    again = listen('work').take(2)
    assert sorted(message.body for message in again) == [b'1', b'2']
    assert all(came_back(message) for message in again)


def test_settled_before_close_does_not_come_back(broker: Broker, listen: Listen) -> None:
    """Acks that were handed in right before a close arrive."""
    first = listen('work', prefetch=50)
    for number in range(50):
        broker.publish(event(b'%d' % number))
    first.ack(*first.take(50))
    first.side.close()
    broker.publish(event(b'marker'))
    assert bodies(listen('work'), 1) == [b'marker']


def test_second_settlement_does_nothing(broker: Broker, listen: Listen) -> None:
    """The first settlement of a message holds; a second one neither undoes it nor harms the consumer."""
    inbox = listen('work', prefetch=2)
    broker.publish(event(b'1'))
    message = inbox.next()
    inbox.ack(message)
    inbox.ack(message)
    inbox.give_back(message)
    for number in range(2, 8):
        broker.publish(event(b'%d' % number))
        inbox.ack(message)
        assert inbox.take_acked(1) == [b'%d' % number]
    inbox.side.close()
    broker.publish(event(b'marker'))
    again = listen('work').next()
    assert (again.body, again.redelivered) == (b'marker', False)


# ---- Dead letters


def test_dead_letter_has_all_that_is_known(broker: Broker, listen: Listen) -> None:
    """A dead letter keeps body, properties and headers, and says why, where from, and when."""
    inbox = listen('work', routing_key='order.*')
    broker.publish(event(b'{"id": 1}', 'order.placed', headers={'nameko.user_id': 7}, reply_to='r-1'))
    inbox.dead_letter(inbox.next())
    # Fed by nobody but the dead letter itself: the queue is there, or comes to be.
    letter = listen('work.dead', None, '').next()
    assert (letter.body, letter.queue) == (b'{"id": 1}', 'work.dead')
    assert dict(letter.properties) == {**PROPERTIES, 'reply_to': 'r-1'}
    headers = dict(letter.headers)
    assert isinstance(headers.pop('greenmicro.time'), int)
    assert isinstance(headers.pop('greenmicro.host'), str)
    assert headers == {
        'nameko.user_id': 7,
        'greenmicro.attempt': 1,
        'greenmicro.reason': 'target error',
        'greenmicro.error': 'builtins.ValueError: no such order',
        'greenmicro.traceback': 'Traceback ...',
        'greenmicro.origin_exchange': EVENTS.name,
        'greenmicro.origin_routing_key': 'order.placed',
        'greenmicro.origin_queue': 'work',
    }


def test_dead_lettered_is_gone_from_its_queue(broker: Broker, listen: Listen) -> None:
    """A dead-lettered message is settled: it makes room, and does not come back after a close."""
    inbox = listen('work', prefetch=1)
    dead = listen('work.dead', None, '')
    for number in range(3):
        broker.publish(event(b'%d' % number))
    for _ in range(3):
        inbox.dead_letter(inbox.next())
    assert sorted(bodies(dead, 3)) == [b'0', b'1', b'2']
    inbox.side.close()
    broker.publish(event(b'marker'))
    assert bodies(listen('work'), 1) == [b'marker']


def test_dead_letter_waits_for_its_queue(broker: Broker, listen: Listen) -> None:
    """While the dead queue refuses it a message stays unsettled; it is buried once there is room."""
    full = Queue('work.dead', arguments={'x-max-length': 1, 'x-overflow': 'reject-publish'})
    listen(full, None, '').side.close()
    broker.publish(to_queue('work.dead', b'first'))
    with pytest.raises(RefusedError):
        broker.publish(to_queue('work.dead', b'refused'))
    inbox = listen('work')
    broker.publish(event(b'1'))
    inbox.dead_letter(inbox.next())
    dead = listen(full, None, '')
    assert dead.take_acked(2) == [b'first', b'1']


def test_dead_letter_after_stop(broker: Broker, listen: Listen) -> None:
    """What fails between a stop and the close is still dead-lettered, not given back."""
    inbox = listen('work')
    broker.publish(event(b'1'))
    message = inbox.next()
    inbox.side.stop()
    inbox.dead_letter(message)
    inbox.side.close()
    assert bodies(listen('work.dead', None, ''), 1) == [b'1']
    broker.publish(event(b'marker'))
    assert bodies(listen('work'), 1) == [b'marker']
