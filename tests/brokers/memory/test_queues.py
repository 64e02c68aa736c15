"""MemoryQueue, beside the contract: lengths, times to live, and what becomes of the dropped."""

from datetime import datetime, timezone

import gevent
import pytest

from greenmicro.amqp.topology import Queue
from greenmicro.brokers.base import Broker
from greenmicro.errors import RefusedError
from tests.brokers.sides import DEADLINE_S, PROPERTIES, Inbox, Listen, bodies, event, expiring, to_queue

pytestmark = pytest.mark.parametrize('uri', ['memory'], indirect=True)

#: Lets a message live until it is taken, also on a machine that stands still for a while in between.
TTL_MS = 200


def bounded(name: str, length: int, overflow: str | None = None, dead: str | None = None) -> Queue:
    arguments: dict[str, object] = {'x-max-length': length}
    if overflow is not None:
        arguments['x-overflow'] = overflow
    if dead is not None:
        arguments |= {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead}
    return Queue(name, arguments=arguments)


def declare(listen: Listen, queue: Queue) -> None:
    listen(queue, None).side.close()


def reasons(inbox: Inbox, count: int) -> list[tuple[bytes, str]]:
    return [(message.body, message.headers['x-death'][0]['reason']) for message in inbox.take(count)]


# ---- Length


def test_full_queue_drops_its_head(broker: Broker, listen: Listen) -> None:
    """By default a full queue lets its oldest messages go, to its dead-letter exchange."""
    queue = bounded('work', 2, dead='dropped')
    declare(listen, queue)
    dropped = listen('dropped', None)
    for number in range(5):
        broker.publish(to_queue('work', b'%d' % number))
    assert reasons(dropped, 3) == [(b'0', 'maxlen'), (b'1', 'maxlen'), (b'2', 'maxlen')]
    assert bodies(listen(queue, None), 2) == [b'3', b'4']


@pytest.mark.parametrize('overflow', ['reject-publish', 'reject-publish-dlx'])
def test_full_queue_refuses(broker: Broker, listen: Listen, overflow: str) -> None:
    """With reject-publish the publisher is told; with -dlx the message goes to the dead letters as well."""
    queue = bounded('work', 2, overflow, dead='dropped')
    declare(listen, queue)
    dropped = listen('dropped', None)
    for body in (b'0', b'1'):
        broker.publish(to_queue('work', body))
    with pytest.raises(RefusedError, match='work'):
        broker.publish(to_queue('work', b'2'))
    broker.publish(to_queue('dropped', b'marker', headers={'x-death': [{'reason': 'none'}]}))
    wanted = [(b'2', 'maxlen')] if overflow.endswith('dlx') else []
    assert reasons(dropped, len(wanted) + 1) == [*wanted, (b'marker', 'none')]
    assert bodies(listen(queue, None), 2) == [b'0', b'1']


def test_refusal_of_one_queue_is_told_and_the_others_have_it(broker: Broker, listen: Listen) -> None:
    """A message that one of its queues refuses is in the others, and the publisher is told."""
    listen(bounded('full', 0, 'reject-publish')).side.stop()
    inbox = listen('work')
    with pytest.raises(RefusedError, match='full'):
        broker.publish(event(b'1'))
    assert bodies(inbox, 1) == [b'1']


def test_length_does_not_count_what_has_a_taker(broker: Broker, listen: Listen) -> None:
    """What a consumer has room for never waits, so it neither fills a queue nor is dropped."""
    inbox = listen(bounded('work', 1, 'reject-publish'), None, prefetch=50)
    publishers = [gevent.spawn(broker.publish, to_queue('work', b'%d' % number)) for number in range(50)]
    gevent.joinall(publishers, timeout=DEADLINE_S, raise_error=True)
    assert len(inbox.take(50)) == 50


def test_full_queues_that_feed_each_other_do_not_recurse(broker: Broker, listen: Listen) -> None:
    """One message too many sets thousands in motion, and each goes on at most once."""
    count = 1_500
    ping, pong = bounded('ping', count, dead='pong'), bounded('pong', count, dead='ping')
    for queue in (ping, pong):
        declare(listen, queue)
        for number in range(count):
            broker.publish(to_queue(queue.name, b'%d' % number))
    broker.publish(to_queue('ping', b'last'))
    last = listen(ping, None, prefetch=0).take(count)
    assert sum('x-death' in message.headers for message in last) >= count - 1


# ---- Time to live, and dead letters


def test_death_is_recorded_as_rabbitmq_does(broker: Broker, listen: Listen) -> None:
    """A dead-lettered message carries where, why, when and how often it died, the last death first."""
    declare(listen, expiring('one', 20, 'two'))
    declare(listen, expiring('two', 20, 'end'))
    inbox = listen('end', None)
    broker.publish(to_queue('one', b'1', expiration='10', headers={'kept': ['a']}))
    message = inbox.next()
    headers = dict(message.headers)
    times = [death.pop('time') for death in headers['x-death']]
    assert headers == {
        'kept': ['a'],
        'x-death': [
            {'count': 1, 'exchange': '', 'queue': 'two', 'reason': 'expired', 'routing-keys': ['two']},
            {
                'count': 1,
                'exchange': '',
                'queue': 'one',
                'reason': 'expired',
                'routing-keys': ['one'],
                'original-expiration': '10',
            },
        ],
        'x-first-death-exchange': '',
        'x-first-death-queue': 'one',
        'x-first-death-reason': 'expired',
    }
    assert dict(message.properties) == PROPERTIES
    now = datetime.now(tz=timezone.utc).replace(tzinfo=None)
    assert all(abs((now - at).total_seconds()) < DEADLINE_S and not at.microsecond for at in times)


def test_deaths_are_counted(broker: Broker, listen: Listen) -> None:
    """A message that is sent through a delay again, headers and all, has one entry with its count."""
    declare(listen, expiring('delay', 10, 'work'))
    inbox = listen('work', None)
    broker.publish(to_queue('delay'))
    for count in (1, 2, 3):
        message = inbox.next()
        assert [death['count'] for death in message.headers['x-death']] == [count]
        broker.publish(to_queue('delay', headers=message.headers))


def test_circles_end(broker: Broker, listen: Listen) -> None:
    """A message that would expire in the same queues for ever is dropped, as RabbitMQ does."""
    declare(listen, expiring('self', TTL_MS))
    declare(listen, expiring('there', TTL_MS, 'back'))
    declare(listen, expiring('back', TTL_MS, 'there'))
    declare(listen, expiring('timer', 3 * TTL_MS, 'rung'))
    rung = listen('rung', None)
    broker.publish(to_queue('self'))
    broker.publish(to_queue('there'))
    broker.publish(to_queue('timer'))
    rung.next()
    for name, routing_key in (('self', None), ('there', 'back'), ('back', 'there')):
        broker.publish(to_queue(name, b'marker'))
        assert bodies(listen(expiring(name, TTL_MS, routing_key), None), 1) == [b'marker']


@pytest.mark.parametrize('forged', ['text', [1], [{'queue': 'delay'}], [{'queue': 1, 'count': 'x'}], None])
def test_forged_history_is_none(broker: Broker, listen: Listen, forged: object) -> None:
    """A message whose x-death is nonsense is dead-lettered like any other."""
    declare(listen, expiring('delay', 10, 'work'))
    inbox = listen('work', None)
    broker.publish(to_queue('delay', b'1', headers={'x-death': forged}))
    message = inbox.next()
    assert [death['queue'] for death in message.headers['x-death']] == ['delay']


def test_dead_letter_without_a_place_is_dropped(broker: Broker, listen: Listen) -> None:
    """Where exchange or queue of the dead letters are missing the message is gone, and nothing breaks."""
    lost = Queue('lost', arguments={'x-message-ttl': TTL_MS, 'x-dead-letter-exchange': 'nobody'})
    declare(listen, lost)
    declare(listen, expiring('nowhere', TTL_MS, 'nobody'))
    declare(listen, expiring('timer', 2 * TTL_MS, 'rung'))
    rung = listen('rung', None)
    for name in ('lost', 'nowhere', 'timer'):
        broker.publish(to_queue(name))
    rung.next()
    broker.publish(to_queue('lost', b'marker'))
    assert bodies(listen(lost, None), 1) == [b'marker']


def test_shorter_of_two_times_holds(broker: Broker, listen: Listen) -> None:
    """Of the queue's and the message's own time to live the shorter one counts."""
    declare(listen, expiring('short', 10, 'end'))
    declare(listen, expiring('long', 3_600_000, 'end'))
    inbox = listen('end', None)
    broker.publish(to_queue('short', b'1', expiration='3600000'))
    assert bodies(inbox, 1) == [b'1']
    broker.publish(to_queue('long', b'2', expiration='10'))
    assert bodies(inbox, 1) == [b'2']


def test_only_the_head_expires(broker: Broker, listen: Listen) -> None:
    """A short-lived message behind a long-lived one waits, and is dropped when it gets to the head."""
    queue = Queue('work', arguments={'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'end'})
    declare(listen, queue)
    declare(listen, expiring('timer', 60, 'rung'))
    rung, end = listen('rung', None), listen('end', None)
    broker.publish(to_queue('work', b'long', expiration='3600000'))
    broker.publish(to_queue('work', b'short', expiration='10'))
    broker.publish(to_queue('timer'))
    rung.next()
    assert not len(end)
    inbox = listen(queue, None, prefetch=1)
    assert bodies(inbox, 1) == [b'long']
    assert bodies(end, 1) == [b'short']
    assert not len(inbox)


def test_given_back_too_late_expires(broker: Broker, listen: Listen) -> None:
    """What comes back to its queue after its time is not delivered again."""
    declare(listen, expiring('timer', 2 * TTL_MS, 'rung'))
    rung, end = listen('rung', None), listen('end', None)
    inbox = listen(expiring('short', TTL_MS, 'end'), None)
    broker.publish(to_queue('short', b'1'))
    message = inbox.next()
    broker.publish(to_queue('timer'))
    rung.next()
    inbox.side.stop()
    inbox.give_back(message)
    assert bodies(end, 1) == [b'1']


def test_now_or_never(broker: Broker, listen: Listen) -> None:
    """A time to live of 0 lets a message through to a consumer that has room, and else drops it."""
    end = listen('end', None)
    inbox = listen(expiring('now', 0, 'end'), None, prefetch=1)
    broker.publish(to_queue('now', b'1'))
    message = inbox.next()
    broker.publish(to_queue('now', b'2'))
    assert bodies(end, 1) == [b'2']
    inbox.ack(message)
    broker.publish(to_queue('now', b'3'))
    assert bodies(inbox, 1) == [b'3']
