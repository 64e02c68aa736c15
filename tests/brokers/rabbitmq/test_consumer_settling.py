"""RabbitConsumer: what is dead-lettered, given back or tried again, and queues that are full."""

import logging
import struct
import time

import gevent
import pytest

from greenmicro.amqp.topology import Queue, queue_of_type
from greenmicro.brokers.rabbitmq import republisher as republisher_module
from greenmicro.messages import ATTEMPT_HEADER
from tests.brokers.rabbitmq.consuming import lose_connection, publish_raw, raw_headers, wait
from tests.brokers.rabbitmq.faults import alarm, close_connections
from tests.brokers.sides import EVENTS, Listen, NewSide, event
from tests.support.amqp_client import Client
from tests.support.erlang import binary
from tests.support.rabbitmq import Node


@pytest.fixture
def uri(amqp_uri: str) -> str:
    """These tests are about RabbitMQ alone."""
    return amqp_uri


@pytest.fixture(autouse=True)
def _all_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, 'greenmicro')


@pytest.fixture
def broker_uri(amqp_uri: str) -> str:
    return amqp_uri


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
