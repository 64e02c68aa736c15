"""The contract of brokers, for each of them: what is published arrives, where it should, as it was."""

from typing import Any

import gevent
import pytest

from greenmicro.amqp.topology import Exchange
from greenmicro.brokers.base import Broker
from greenmicro.errors import UnroutableError
from greenmicro.messages import Publication
from tests.brokers.sides import EVENTS, PROPERTIES, Listen, NewSide, bodies, event, to_queue


def test_event_arrives_as_it_was_published(broker: Broker, listen: Listen) -> None:
    """A message has all that it was published with, and the name of its queue."""
    inbox = listen('work', routing_key='order.*')
    broker.publish(event(b'{"id": 1}', 'order.placed', headers={'nameko.user_id': 7}, correlation_id='c-1'))
    message = inbox.next()
    assert message.body == b'{"id": 1}'
    assert dict(message.properties) == {**PROPERTIES, 'correlation_id': 'c-1'}
    assert message.message_id == PROPERTIES['message_id']
    assert dict(message.headers) == {'nameko.user_id': 7}
    assert (message.exchange, message.routing_key, message.queue) == (EVENTS.name, 'order.placed', 'work')
    assert message.redelivered is False
    assert message.unreadable is None


def test_message_without_properties_arrives(broker: Broker, listen: Listen) -> None:
    """Properties and headers are optional."""
    inbox = listen('work')
    broker.publish(Publication(EVENTS.name, 'order', b''))
    message = inbox.next()
    assert (message.body, dict(message.properties), dict(message.headers)) == (b'', {}, {})


@pytest.mark.parametrize(
    'body',
    [b'', bytes(range(256)) * 4, b'\xce' * 200_000, b'x' * 3_000_000],
    ids=['empty', 'binary', 'frames', '3 MB'],
)
def test_body_is_not_touched(broker: Broker, listen: Listen, body: bytes) -> None:
    """A body of any bytes and of many frames arrives as it was sent."""
    inbox = listen('work')
    broker.publish(event(body))
    assert inbox.next().body == body


def test_headers_keep_their_types(broker: Broker, listen: Listen) -> None:
    """Text, integers, booleans, floats, None, lists and nested tables are the same on the other side."""
    headers = {
        'text': 'Grüße',
        'empty': '',
        'small': -1,
        'large': 2**40,
        'yes': True,
        'no': False,
        'half': 0.5,
        'none': None,
        'list': [1, 'two', [3.0], {'four': None}],
        'table': {'a': {'b': {'c': [True, 2**33]}}, 'empty': {}},
    }
    inbox = listen('work')
    broker.publish(event(headers=headers))
    found = dict(inbox.next().headers)
    assert found == headers
    assert type(found['yes']) is bool
    assert type(found['small']) is int


def test_message_is_a_copy(broker: Broker, listen: Listen) -> None:
    """What the publisher, or another receiver, does to its headers afterwards changes nothing."""
    one, two = listen('one'), listen('two')
    headers: dict[str, Any] = {'path': ['a'], 'table': {'x': 1}}
    broker.publish(event(headers=headers))
    headers['path'].append('b')
    headers['new'] = 1
    seen = one.next()
    seen.headers['path'].append('c')
    seen.headers['table']['x'] = 2
    assert dict(two.next().headers) == {'path': ['a'], 'table': {'x': 1}}


@pytest.mark.parametrize(
    ('pattern', 'fits', 'fits_not'),
    [
        ('order.placed', ['order.placed'], ['order', 'order.placed.eu', 'order.paid']),
        ('order.*', ['order.placed', 'order.'], ['order', 'order.placed.eu', 'orders.placed']),
        ('*.placed', ['order.placed'], ['placed', 'a.order.placed']),
        ('order.#', ['order', 'order.placed', 'order.placed.eu'], ['orders', 'a.order']),
        ('#', ['order', 'a.b.c', ''], []),
        ('#.eu', ['eu', 'order.eu', 'order.placed.eu'], ['eu.order', 'order.europe']),
        ('a.#.z', ['a.z', 'a.b.z', 'a.z.z', 'a.b.c.z'], ['a', 'a.b', 'z', 'a.z.b']),
        ('*.#.*', ['a.b', 'a.b.c.d'], ['a', '']),
        ('a.*.#.c.#', ['a.b.c', 'a.c.c', 'a.b.x.c.y.z'], ['a.c', 'a.b.x']),
    ],
)
def test_topic_patterns(
    broker: Broker, listen: Listen, pattern: str, fits: list[str], fits_not: list[str]
) -> None:
    """`*` stands for exactly one word of a routing key, `#` for any number of them."""
    inbox = listen('work', routing_key=pattern)
    for routing_key in fits:
        broker.publish(event(routing_key=routing_key))
    assert [message.routing_key for message in inbox.take(len(fits))] == fits
    for routing_key in fits_not:
        with pytest.raises(UnroutableError):
            broker.publish(event(routing_key=routing_key))


def test_direct_exchange_wants_the_very_key(broker: Broker, listen: Listen) -> None:
    """To a direct exchange a star is no pattern."""
    inbox = listen('work', Exchange('direct', 'direct'), 'order.*')
    broker.publish(event(b'1', 'order.*', exchange='direct'))
    with pytest.raises(UnroutableError):
        broker.publish(event(b'2', 'order.placed', exchange='direct'))
    assert bodies(inbox, 1) == [b'1']


def test_fanout_exchange_heeds_no_key(broker: Broker, listen: Listen) -> None:
    """A fanout exchange feeds all its queues, and leaves the routing key as it is."""
    inboxes = [listen(name, Exchange('fan', 'fanout'), 'any') for name in ('one', 'two')]
    broker.publish(event(routing_key='other', exchange='fan'))
    assert [inbox.next().routing_key for inbox in inboxes] == ['other', 'other']


def test_each_queue_gets_a_copy(broker: Broker, listen: Listen) -> None:
    """An event goes to each queue that is bound for it, once, however often its bindings match."""
    new = [listen(name) for name in ('one', 'two')]
    again = listen('one', routing_key='#')
    broker.publish(event(b'1'))
    broker.publish(event(b'2'))
    assert bodies(new[1], 2) == [b'1', b'2']
    first, second = new[0].next().body, again.next().body
    assert {first, second} == {b'1', b'2'}


def test_default_exchange_feeds_a_queue_by_name(broker: Broker, listen: Listen) -> None:
    """A subscription without an exchange gets what is published to its queue's name."""
    inbox = listen('work', None, '')
    broker.publish(to_queue('work', b'1'))
    message = inbox.next()
    assert (message.exchange, message.routing_key, message.queue) == ('', 'work', 'work')


def test_one_service_consumes_from_several_queues(broker: Broker, new_side: NewSide) -> None:
    """Each subscription of a broker gets its own messages, on its own consumer."""
    side = new_side()
    inboxes = [side.subscribe(f'work-{key}', routing_key=key) for key in 'abc']
    side.start_ready()
    for key in 'abc':
        broker.publish(event(key.encode(), key))
    assert [inbox.next().body for inbox in inboxes] == [b'a', b'b', b'c']


def test_order_is_kept(broker: Broker, listen: Listen) -> None:
    """One publisher's messages come out of a queue in the order in which they went in."""
    inbox = listen('work', prefetch=7)
    sent = [b'%d' % number for number in range(300)]
    publisher = gevent.spawn(lambda: [broker.publish(event(body)) for body in sent])
    assert inbox.take_acked(len(sent)) == sent
    publisher.get()
