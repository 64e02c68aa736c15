"""RabbitConsumer, against RabbitMQ: channels come and go, and each message is settled once."""

import dataclasses
import logging
import random
import struct
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import gevent
import kombu
import pika
import pytest
from gevent.event import Event

from greenmicro.amqp.topology import Queue, Subscription, queue_of_type
from greenmicro.brokers.rabbitmq import consumer as consumer_module
from greenmicro.brokers.rabbitmq import refusals
from greenmicro.brokers.rabbitmq import republisher as republisher_module
from greenmicro.messages import ATTEMPT_HEADER, Message
from tests.brokers.rabbitmq.faults import alarm, close_connections
from tests.brokers.sides import EVENTS, Inbox, Listen, NewSide, event
from tests.support.amqp_client import Client
from tests.support.erlang import binary
from tests.support.patience import PATIENCE_S
from tests.support.rabbitmq import Node

#: Holds up the log of quorum queues, in the broker, for 0.2 s; returns when that has begun.
COMMIT_NOTHING = """
Me = self(),
spawn(fun() -> sys:suspend(ra_log_wal), Me ! begun, timer:sleep(200), sys:resume(ra_log_wal) end),
receive begun -> ok end.
"""


@pytest.fixture
def uri(amqp_uri: str) -> str:
    """These tests are about RabbitMQ alone."""
    return amqp_uri


def wait(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Let the hub run until something holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, 'it did not come to that'
        gevent.sleep(0.01)


def lose_connection(node: Node, inbox: Inbox) -> None:
    """Have the consumers' connection closed, and wait until they consume again."""
    ready = inbox.consumer.ready  # type: ignore[attr-defined]
    assert close_connections(node, 'consume')
    wait(lambda: not ready.is_set())
    wait(ready.is_set)


@pytest.mark.parametrize('queue_type', ['classic', 'quorum'])
def test_a_deleted_queue_is_declared_bound_and_consumed_again(
    amqp_client: Client, listen: Listen, queue_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What comes after it arrives; what was running settles nothing; the log says so."""
    inbox = listen(queue_of_type('q', queue_type))
    amqp_client.publish(EVENTS.name, 'order', 1)
    lost = inbox.next()
    amqp_client.delete_queue('q')
    wait(lambda: not inbox.consumer.ready.is_set())  # type: ignore[attr-defined]
    wait(inbox.consumer.ready.is_set)  # type: ignore[attr-defined]
    amqp_client.publish(EVENTS.name, 'order', 2)
    new = inbox.next()
    inbox.ack(lost, new)
    assert new.body == b'2'
    warned = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([line for line in warned if 'was the queue deleted?' in line]) == 1
    inbox.side.stop()
    inbox.side.close()
    amqp_client.wait_for_counts('q', ready=0, consumers=0)


def test_a_queue_that_goes_between_declaring_and_binding(
    amqp_client: Client, new_side: NewSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does that was being deleted, on RabbitMQ 4: no refusal, it is declared again at once."""
    declared = consumer_module.kombu_queue

    class Going(kombu.Queue):  # type: ignore[misc]
        def queue_bind(self, *arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(consumer_module, 'kombu_queue', declared)
            amqp_client.delete_queue(self.name)
            return super().queue_bind(*arguments, **options)

    def going(subscription: Subscription) -> Any:
        usual = declared(subscription)
        return Going(usual.name, usual.exchange, usual.routing_key, durable=usual.durable)

    monkeypatch.setattr(consumer_module, 'kombu_queue', going)
    monkeypatch.setattr(refusals, 'REFUSED_RETRY_S', 10 * PATIENCE_S)
    side = new_side()
    inbox = side.subscribe('q')
    side.start_ready()
    amqp_client.publish(EVENTS.name, 'order', 1)
    assert inbox.take_acked(1) == [b'1']


def test_other_arguments_later_are_waited_for(
    rabbitmq: Node, amqp_client: Client, new_side: NewSide, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Tried again every while, told once; other queues are not touched by it."""
    tries: list[str] = []
    declared = consumer_module.kombu_queue

    def differing(subscription: Subscription) -> Any:
        tries.append(subscription.queue.name)
        changed = dataclasses.replace(subscription.queue, arguments={'x-max-length': 5})
        return declared(
            dataclasses.replace(subscription, queue=changed) if changed.name == 'q' else subscription
        )

    def told() -> list[str]:
        return [message for message in caplog.messages if message.startswith('queue q: not consuming')]

    monkeypatch.setattr(refusals, 'REFUSED_RETRY_S', 0.01)
    side = new_side()
    inbox, other = side.subscribe('q'), side.subscribe('other')
    side.start_ready()
    monkeypatch.setattr(consumer_module, 'kombu_queue', differing)
    close_connections(rabbitmq, 'consume')
    wait(lambda: tries.count('q') >= 4)
    amqp_client.publish(EVENTS.name, 'order', 1)
    other.ack(other.next())
    assert tries.count('other') == 1
    assert len(told()) == 1
    assert 'x-max-length' in told()[0]
    assert side.fatal.empty()
    monkeypatch.setattr(consumer_module, 'kombu_queue', declared)
    assert inbox.next().body == b'1'


@pytest.mark.parametrize('broken', ['consumer.kombu_queue', 'publisher.kombu_exchange'])
def test_what_should_never_happen_ends_the_service(
    new_side: NewSide, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Rather than that it goes on without a consumer, or without a publisher."""

    def fail(declared: Any) -> None:
        raise TypeError('never')

    side = new_side()
    side.broker.declare(EVENTS)
    side.subscribe('q')
    monkeypatch.setattr(f'greenmicro.brokers.rabbitmq.{broken}', fail)
    side.start()
    assert str(side.fatal.get(timeout=10)) == 'never'


@pytest.mark.parametrize('queue_type', ['classic', 'quorum'])
def test_what_runs_when_the_connection_is_lost_is_not_run_again(
    rabbitmq: Node, amqp_client: Client, new_side: NewSide, vhost: str, queue_type: str
) -> None:
    """With and without an id; what had not started comes again, what had is settled by its run."""
    side = new_side()
    inbox = side.subscribe(queue_of_type('q', queue_type), prefetch=8)
    side.start_ready()
    for number in range(8):
        ids = {} if number % 2 else {'message_id': str(number)}
        amqp_client.publish(EVENTS.name, 'order', number, **ids)
    done, running = inbox.take(2), inbox.take(2)
    dropped = [inbox.receive() for _ in range(4)]
    inbox.ack(done[0])
    lose_connection(rabbitmq, inbox)
    assert not any(inbox.consumer.holds(message) for message in dropped)
    assert all(inbox.consumer.holds(message) for message in running)
    assert not any(inbox.consumer.begin(message) for message in dropped)
    inbox.ack(done[1])
    again = inbox.take(4)
    assert sorted(message.body for message in again) == [b'4', b'5', b'6', b'7']
    lose_connection(rabbitmq, inbox)
    inbox.ack(*running, *again)
    wait(lambda: rabbitmq.queues(vhost)['q'][:2] == (0, 0))
    assert len(inbox) == 0


@pytest.mark.parametrize('queue_type', ['classic', 'quorum'])
def test_settling_in_any_order_while_connections_are_lost(
    rabbitmq: Node, amqp_client: Client, new_side: NewSide, vhost: str, queue_type: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Every message is run to its end once, none is lost or left unsettled, and no ack is unknown (406)."""
    side = new_side()
    inbox = side.subscribe(queue_of_type('q', queue_type), prefetch=20)
    side.start_ready()
    count, chance = 600, random.Random(7)
    finished: Counter[bytes] = Counter()
    busy: list[Message] = []
    for number in range(count):
        amqp_client.publish(EVENTS.name, 'order', number, message_id=str(number))
    while len(finished) < count:
        while len(busy) < 20 and len(inbox):
            message = inbox.receive()
            if inbox.consumer.begin(message):
                busy.append(message)
        chance.shuffle(busy)
        for message in busy[10:] or busy[:1]:
            if chance.random() < 0.1 and 'x-delivery-count' not in message.headers:
                inbox.give_back(message)
            else:
                finished[message.body] += 1
                inbox.ack(message)
        busy = (busy[10:] and busy[:10]) or busy[1:]
        if chance.random() < 0.02:
            lose_connection(rabbitmq, inbox)
        gevent.sleep(0.001)
    side.stop()
    inbox.ack(*busy)
    side.close()
    assert len(finished) == count
    assert set(finished.values()) == {1}
    assert not any('PRECONDITION' in message for message in caplog.messages)
    wait(lambda: rabbitmq.queues(vhost)['q'].unacked == 0)


def test_acks_right_before_close_arrive(
    amqp_client: Client, listen: Listen, rabbitmq: Node, vhost: str
) -> None:
    """Settled in the same turn in which the connection is closed: they go before the goodbye."""
    inbox = listen('q', prefetch=50)
    amqp_client.publish_many(EVENTS.name, 'order', range(50))
    messages = inbox.take(50)
    inbox.side.stop()
    inbox.ack(*messages)
    inbox.side.close()
    wait(lambda: rabbitmq.queues(vhost)['q'].unacked == 0)
    assert rabbitmq.queues(vhost)['q'] == (0, 0, 0)


def test_many_single_acks_right_before_close_arrive(
    amqp_client: Client, listen: Listen, rabbitmq: Node, vhost: str
) -> None:
    """A quorum queue stows acks away while its commits take long: they are waited for."""
    inbox = listen(queue_of_type('q', 'quorum'), prefetch=200)
    amqp_client.publish_many(EVENTS.name, 'order', range(200))
    _, *acked = inbox.take(200)
    rabbitmq.eval(COMMIT_NOTHING)
    inbox.side.stop()
    rabbitmq.eval(COMMIT_NOTHING)
    inbox.ack(*acked)
    inbox.side.close()
    wait(lambda: rabbitmq.queues(vhost)['q'].unacked == 0)
    assert rabbitmq.queues(vhost)['q'] == (1, 0, 0)


def test_the_brokers_ack_timeout_ends_one_channel_only(
    rabbitmq: Node, amqp_client: Client, new_side: NewSide, vhost: str
) -> None:
    """The message that took too long settles its redelivery; the other consumers notice nothing.

    From RabbitMQ 4.3 on a classic queue knows no such time-out, and a quorum queue cancels the consumer,
    where older ones close the channel.
    """
    rabbitmq.eval(
        'application:set_env(rabbit, consumer_timeout, 200), '
        'application:set_env(rabbit, channel_tick_interval, 100).'
    )
    types = 'classic', 'quorum'
    timed_out = {'quorum'} if rabbitmq.version >= (4, 3) else {*types}
    lost: set[str] = set()

    def all_lost() -> bool:
        lost.update(name for name in ready if not ready[name].is_set())
        return lost >= timed_out

    try:
        side = new_side()
        inboxes = {kind: side.subscribe(queue_of_type(kind, kind)) for kind in types}
        inboxes['other'] = side.subscribe('other')
        side.start_ready()
        ready: dict[str, Event] = {name: one.consumer.ready for name, one in inboxes.items()}  # type: ignore[attr-defined]
        for kind in types:
            amqp_client.publish('', kind, 1, message_id='m')
        messages = {kind: inboxes[kind].next() for kind in types}
        wait(all_lost)
        assert lost == timed_out
    finally:
        rabbitmq.eval(
            'application:set_env(rabbit, consumer_timeout, 1800000), '
            'application:set_env(rabbit, channel_tick_interval, 60000).'
        )
    for kind, message in messages.items():
        inboxes[kind].ack(message)
    wait(lambda: all(rabbitmq.queues(vhost)[kind][:2] == (0, 0) for kind in types))
    assert not any(len(inbox) for inbox in inboxes.values())


def test_what_cannot_be_written_is_dead_lettered_all_the_same(
    amqp_client: Client, listen: Listen, broker_uri: str
) -> None:
    """Numbers and headers that can be read but not written, and properties that cannot even be read."""
    inbox = listen('q')
    number = b'\1nl' + struct.pack('>Q', 2**64 - 1)
    for sent in (raw_headers(number), raw_headers(b'\1tT' + struct.pack('>Q', 2**63 - 1))):
        publish_raw(broker_uri, 'q', sent, b'bad')
    amqp_client.publish('', 'q', b'large', headers={'x': 'y' * 100_000, 'z': 'y' * 25_000})
    amqp_client.publish('', 'q', b'good')
    messages = inbox.take(4)
    for message in messages[:3]:
        inbox.dead_letter(message)
    inbox.ack(messages[3])
    amqp_client.wait_for_counts('q.dead', ready=3)
    letters = amqp_client.take('q.dead', 3)
    assert sorted(letter.body for letter in letters) == [b'bad', b'bad', b'large']
    assert all(letter.headers['greenmicro.reason'] == 'target error' for letter in letters)
    amqp_client.wait_for_counts('q', ready=0)


def test_nothing_is_entrusted_to_a_dead_queue_that_is_only_just_declared(
    amqp_client: Client, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quorum queue that young would be forgotten with all that is in it, were its broker killed."""
    settled_s = 0.5
    monkeypatch.setattr(republisher_module, 'SETTLED_S', settled_s)
    inbox = listen(queue_of_type('q', 'quorum'))
    amqp_client.publish_many(EVENTS.name, 'order', range(3))
    first, second, third = inbox.take(3)
    began = time.monotonic()
    inbox.dead_letter(first)
    amqp_client.wait_for_counts('q.dead')
    inbox.dead_letter(second)
    inbox.dead_letter(third)
    while not amqp_client.queue_counts('q.dead')[0]:
        gevent.sleep(0.01)
    assert time.monotonic() - began >= settled_s
    amqp_client.wait_for_counts('q.dead', ready=3)


def test_dead_letters_while_connections_are_lost(
    rabbitmq: Node, amqp_client: Client, listen: Listen, vhost: str
) -> None:
    """Each is run once and written, and its message gone, whichever connection is lost meanwhile."""
    inbox = listen('q', prefetch=20)
    for number in range(60):
        amqp_client.publish(EVENTS.name, 'order', number, message_id=str(number))
    taken = 0
    while rabbitmq.queues(vhost)['q'][:2] != (0, 0):
        while len(inbox):
            message = inbox.receive()
            if inbox.consumer.begin(message):
                inbox.dead_letter(message)
                taken += 1
                if taken in {10, 25, 40, 55}:
                    close_connections(rabbitmq, 'publish' if taken % 2 else 'consume')
        gevent.sleep(0.05)
    assert taken == 60
    letters = amqp_client.take('q.dead', amqp_client.queue_counts('q.dead')[0])
    assert {letter.body for letter in letters} == {b'%d' % number for number in range(60)}


def test_given_back_again_it_goes_to_the_end_of_its_queue(
    rabbitmq: Node, amqp_client: Client, new_side: NewSide, vhost: str
) -> None:
    """At a delivery limit of 3, a message given back 20 times is still there, as it was published.

    RabbitMQ counts the first of it, until 4.3, and we do not let it come to a second.
    """
    queue = Queue('q', arguments={'x-queue-type': 'quorum', 'x-delivery-limit': 3})
    side = new_side()
    inbox = side.subscribe(queue, prefetch=1)
    side.start_ready()
    amqp_client.publish(EVENTS.name, 'order', 1, headers={'x-mine': 1}, message_id='m')
    most = 0
    for _ in range(20):
        message = inbox.next()
        most = max(most, message.headers.get('x-delivery-count', 0))
        inbox.give_back(message)
    message = inbox.next()
    inbox.ack(message)
    assert most == (0 if rabbitmq.version >= (4, 3) else 1)
    assert (message.exchange, message.routing_key, message.message_id) == (EVENTS.name, 'order', 'm')
    assert message.headers['x-mine'] == 1
    assert message.attempt == 1
    assert message.suspicions == 0
    wait(lambda: rabbitmq.queues(vhost)['q'][:2] == (0, 0))


def test_a_quorum_queue_drops_nothing_that_only_waits(
    rabbitmq: Node, amqp_client: Client, new_side: NewSide, vhost: str
) -> None:
    """With 100 pending and a policy's limit of 8: 12 connections lost, then 12 stops in good order."""
    queue = Queue('q', arguments={'x-queue-type': 'quorum'})
    rabbitmq.ctl('set_policy', '-p', vhost, 'limit', '^q$', '{"delivery-limit": 8}', '--apply-to', 'queues')
    side = new_side(RECONNECT_MAX_S=0.05)
    inbox = side.subscribe(queue, prefetch=100)
    side.start_ready()
    sent = [b'%d' % number for number in range(100)]
    for body in sent:
        amqp_client.publish(EVENTS.name, 'order', body, message_id=body.decode())

    def wait_pending() -> None:
        # A copy whose confirm is lost along with the connection is sent once more.
        wait(lambda: rabbitmq.queues(vhost)['q'].unacked == 100)

    for _ in range(12):
        wait_pending()
        before = len(inbox)
        assert close_connections(rabbitmq, 'connection')
        wait(lambda before=before: len(inbox) > before)
    for _ in range(12):
        wait_pending()
        side.stop()
        inbox.give_back(*inbox.line.queue)
        side.close()
        side = new_side()
        inbox = side.subscribe(queue, prefetch=100)
        side.start_ready()
    wait_pending()
    finished: set[bytes] = set()

    def all_is_done() -> bool:
        while len(inbox):
            message = inbox.receive()
            if inbox.consumer.begin(message):
                assert message.suspicions == 0, 'nobody died'
                finished.add(message.body)
                inbox.ack(message)
        return rabbitmq.queues(vhost)['q'][:2] == (0, 0)

    wait(all_is_done)
    assert finished == set(sent)
    assert set(rabbitmq.queues(vhost)) == {'q'}, 'no dead letters'


def test_quorum_from_end_to_end(rabbitmq: Node, amqp_client: Client, new_side: NewSide, vhost: str) -> None:
    """Work queue and dead queue; what was given back ten times at stops is not dropped."""
    for number in range(10):
        side = new_side(QUEUE_TYPE='quorum')
        inbox = side.subscribe(queue_of_type('q', 'quorum'))
        side.broker.declare(EVENTS)
        side.start_ready()
        if not number:
            side.broker.publish(event(b'1', message_id='m'))
        message = inbox.next()
        side.stop()
        inbox.give_back(message)
        side.close()
    side = new_side(QUEUE_TYPE='quorum')
    inbox = side.subscribe(queue_of_type('q', 'quorum'))
    side.start_ready()
    inbox.dead_letter(inbox.next())
    amqp_client.wait_for_counts('q.dead', ready=1)
    assert rabbitmq.queues(vhost)['q'][:2] == (0, 0)
    kinds = rabbitmq.eval(
        f'lists:usort([amqqueue:get_type(Q) || Q <- rabbit_amqqueue:list({binary(vhost)})]).'
    )
    assert kinds == '[rabbit_quorum_queue]'


def test_stop_while_the_connection_is_away(amqp_client: Client, listen: Listen, rabbitmq: Node) -> None:
    """It returns at once; what was running is given to others by the broker."""
    inbox = listen('q')
    amqp_client.publish(EVENTS.name, 'order', 1)
    inbox.next()
    close_connections(rabbitmq, 'consume')
    began = time.monotonic()
    inbox.side.stop()
    inbox.side.close()
    assert time.monotonic() - began < 5
    amqp_client.wait_for_counts('q', ready=1, consumers=0)


def test_stop_while_the_queue_is_being_declared(amqp_client: Client, new_side: NewSide) -> None:
    """At any moment of the start, stop and close return in time and leave no consumer."""
    for pause in range(12):
        side = new_side()
        side.subscribe('q')
        side.start()
        gevent.sleep(pause / 1000)
        began = time.monotonic()
        side.stop()
        side.close()
        assert time.monotonic() - began < 5
    amqp_client.declare_queue('q')
    amqp_client.wait_for_counts('q', consumers=0)


def test_a_retried_message_is_another_one(rabbitmq: Node, amqp_client: Client, listen: Listen) -> None:
    """Same id, one attempt later, flagged as redelivered: it runs though its first run is remembered."""
    inbox = listen('q')
    amqp_client.publish('', 'q', b'x', message_id='m')
    inbox.ack(inbox.next())
    lose_connection(rabbitmq, inbox)
    amqp_client.publish('', 'q', b'x', message_id='m', headers={ATTEMPT_HEADER: 1})
    first = inbox.receive()
    lose_connection(rabbitmq, inbox)
    assert not inbox.consumer.begin(first)
    again = inbox.next()
    assert again.redelivered
    assert again.attempt == 2


@pytest.fixture
def broker_uri(amqp_uri: str) -> str:
    return amqp_uri


@pytest.fixture(autouse=True)
def _all_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, 'greenmicro')


def raw_headers(table: bytes) -> bytes:
    return struct.pack('>HI', 0x2000, len(table)) + table


def publish_raw(uri: str, queue: str, properties: bytes, body: bytes) -> None:
    """Publish with property bytes that no client library would write."""

    class Raw(pika.BasicProperties):
        def encode(self) -> list[bytes]:
            return [properties]

    connection = pika.BlockingConnection(pika.URLParameters(uri))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish('', queue, body, Raw(), mandatory=True)
    connection.close()


def test_a_full_queue_does_not_stop_who_would_empty_it(
    rabbitmq: Node, amqp_client: Client, new_side: NewSide, vhost: str
) -> None:
    """What another process left behind has no room at the end of its queue: it is run where it is."""
    limit = '{"max-length": 5, "overflow": "reject-publish"}'
    rabbitmq.ctl('set_policy', '-p', vhost, 'limit', '^q$', limit, '--apply-to', 'queues')
    side = new_side()
    inbox = side.subscribe('q', prefetch=3)
    amqp_client.declare_queue('q')
    for number in range(3):
        amqp_client.publish('', 'q', number)
    with Client(amqp_client.uri) as other:
        other.take('q', 3, ack=False)
        for number in range(3, 8):
            amqp_client.publish('', 'q', number)
    side.start_ready()
    got = set()
    while len(got) < 8:
        message = inbox.next()
        got.add(message.body)
        inbox.ack(message)
    assert got == {b'%d' % number for number in range(8)}
    wait(lambda: rabbitmq.queues(vhost)['q'][:2] == (0, 0))


def test_a_resource_alarm_does_not_stop_who_would_end_it(
    rabbitmq: Node, amqp_client: Client, new_side: NewSide
) -> None:
    """What another process left behind cannot be moved meanwhile: it is run where it is."""
    side = new_side(CONFIRM_TIMEOUT_S=0.2)
    inbox = side.subscribe('q', prefetch=3)
    amqp_client.declare_queue('q')
    for number in range(8):
        amqp_client.publish('', 'q', number)
    with Client(amqp_client.uri) as other:
        other.take('q', 5, ack=False)
    with alarm(rabbitmq):
        side.start_ready()
        got = set()
        while len(got) < 8:
            got.update(inbox.take_acked(1))
    assert got == {b'%d' % number for number in range(8)}
