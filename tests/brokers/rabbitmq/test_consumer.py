"""RabbitConsumer, against RabbitMQ: channels come and go, and each message is settled once."""

import dataclasses
import logging
import random
from collections import Counter
from typing import Any

import gevent
import kombu
import pytest
from gevent.event import Event

from greenmicro.amqp.topology import Subscription, queue_of_type
from greenmicro.brokers.rabbitmq import consumer as consumer_module
from greenmicro.brokers.rabbitmq import refusals
from greenmicro.messages import Message
from tests.brokers.rabbitmq.consuming import lose_connection, wait
from tests.brokers.rabbitmq.faults import close_connections
from tests.brokers.sides import EVENTS, Listen, NewSide
from tests.support.amqp_client import Client
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


@pytest.fixture(autouse=True)
def _all_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, 'greenmicro')


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
