"""Delays on RabbitMQ, when what they need is deleted, full or refused: nothing is dropped."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenmicro.amqp.topology import Exchange, Queue, queue_of_type
from greenmicro.brokers.rabbitmq import delays, republisher
from greenmicro.brokers.rabbitmq.broker import RabbitBroker
from greenmicro.errors import BlockedError, RefusedError, UnavailableError
from tests.brokers.rabbitmq.faults import alarm, close_connections, publish_until_blocked
from tests.brokers.sides import EVENTS, Inbox, Listen, NewSide, event
from tests.support.amqp_client import Client
from tests.support.erlang import binary
from tests.support.patience import PATIENCE_S
from tests.support.rabbitmq import Node

STEP = 'greenmicro.delay.100'
POLICY = """
rabbit_policy:set({vhost}, <<"full">>, <<"^greenmicro.delay">>, [{{<<"max-length">>, 1}}], 0,
    <<"queues">>, <<"tests">>).
"""
RETRY_LOST = 'application:set_env(rabbit, dead_letter_worker_publisher_confirm_timeout, {ms}).'


@pytest.fixture
def uri(amqp_uri: str) -> str:
    """These tests are about RabbitMQ alone."""
    return amqp_uri


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker is killed here; and what is tried again is so at once."""
    monkeypatch.setattr(delays, 'SETTLED_S', 0.0)
    monkeypatch.setattr(republisher, 'RETRY_MAX_S', 0.1)


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged as an error so far."""
    return lambda: [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


def wait(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Let the hub run until something holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, 'it did not come to that'
        gevent.sleep(0.01)


def retry_one(client: Client, inbox: Inbox, delay_s: float = 0.1) -> None:
    client.publish('', 'work', 'x', message_id='m')
    inbox.retry(inbox.next(), delay_s)


@pytest.fixture
def work(listen: Listen, amqp_client: Client) -> Inbox:
    """A queue whose messages have been retried once, so that the delay is there."""
    inbox = listen('work')
    retry_one(amqp_client, inbox)
    inbox.ack(inbox.next())
    return inbox


def test_a_deleted_delay_queue_is_declared_again(work: Inbox, amqp_client: Client) -> None:
    """The publish into nowhere is noticed, and repeated."""
    amqp_client.delete_queue(STEP)
    retry_one(amqp_client, work)
    work.ack(work.next())


def test_a_deleted_delay_exchange_is_declared_again(
    work: Inbox, amqp_client: Client, errors: Callable[[], list[str]]
) -> None:
    """The channel that it takes along is opened again, and what others had in flight is sent again."""
    amqp_client.channel.exchange_delete(STEP)
    others = [gevent.spawn(work.side.broker.publish, event(b'other')) for _ in range(50)]
    retry_one(amqp_client, work)
    gevent.joinall(others, timeout=PATIENCE_S, raise_error=True)
    bodies: set[bytes] = set()
    while b'"x"' not in bodies:
        message = work.next()
        bodies.add(message.body)
        work.ack(message)
    assert not errors()


def test_a_full_delay_queue_takes_it_once_there_is_room(
    work: Inbox, amqp_client: Client, rabbitmq: Node, vhost: str, errors: Callable[[], list[str]]
) -> None:
    """Until then the messages stay unsettled; the log says why once, not for each of them."""
    rabbitmq.eval(POLICY.format(vhost=binary(vhost)))
    for number in range(4):
        amqp_client.publish('', 'work', number)
    first, second, *others = work.take(4)
    # One by one: a quorum queue refuses only from where it has told its channel that it is full.
    for number, message in enumerate((first, second)):
        work.retry(message, 2.0)
        amqp_client.wait_for_counts('greenmicro.delay.2000', ready=number + 1)
    for message in others:
        work.retry(message, 2.0)
    wait(errors)
    assert rabbitmq.queues(vhost)['work'].unacked == 2
    assert sorted(work.take_acked(4)) == [b'%d' % number for number in range(4)]
    assert len(errors()) == 1
    assert 'queue work: the broker refused' in errors()[0]


@pytest.fixture
def _soon(rabbitmq: Node) -> Iterator[None]:
    """Dead-lettering that found no queue is tried again at once, and not after three minutes."""
    rabbitmq.eval(RETRY_LOST.format(ms=200))
    yield
    rabbitmq.eval(RETRY_LOST.format(ms=180_000))


@pytest.mark.usefixtures('_soon')
def test_a_work_queue_that_is_gone_gets_it_when_it_is_back(amqp_client: Client, new_side: NewSide) -> None:
    """While it is away its retries stay where they wait."""
    side = new_side()
    inbox = side.subscribe('work')
    side.start_ready()
    for number in range(5):
        amqp_client.publish('', 'work', number)
    for message in inbox.take(5):
        inbox.retry(message, 0.5)
    amqp_client.wait_for_counts('greenmicro.delay.500', ready=5)
    side.stop()
    side.close()
    amqp_client.delete_queue('work')
    gevent.sleep(1.0)  # they are due by now
    again = new_side()
    back = again.subscribe('work')
    again.start_ready()
    assert sorted(back.take_acked(5)) == [b'0', b'1', b'2', b'3', b'4']


def test_a_declaration_that_is_refused_leaves_the_message(
    amqp_client: Client, listen: Listen, rabbitmq: Node, vhost: str, errors: Callable[[], list[str]]
) -> None:
    """Somebody else's queue of that name is left as it is; the log says once what is wrong."""
    amqp_client.declare_queue(STEP, arguments={'x-message-ttl': 5})
    inbox = listen('work')
    for number in range(3):
        amqp_client.publish('', 'work', number)
    for message in inbox.take(3):
        inbox.retry(message, 0.1)
    wait(errors)
    gevent.sleep(0.3)
    assert rabbitmq.queues(vhost)['work'].unacked == 3
    assert len(errors()) == 1
    assert f'queue work: {STEP} cannot be declared' in errors()[0]
    assert 'PRECONDITION_FAILED' in errors()[0]
    amqp_client.delete_queue(STEP)
    assert sorted(inbox.take_acked(3)) == [b'0', b'1', b'2']


def test_a_delayed_event_that_is_refused_is_an_error(amqp_client: Client, new_side: NewSide) -> None:
    """The target learns of it, and others publish on."""
    amqp_client.declare_queue('greenmicro.delay.100.shop.events', arguments={'x-message-ttl': 5})
    side = new_side()
    side.broker.declare(EVENTS)
    side.start_ready()
    with pytest.raises(RefusedError, match=r'greenmicro\.delay\.100\.shop\.events cannot be declared'):
        side.broker.publish(event(mandatory=False)._replace(delay_s=0.1))
    side.broker.publish(event(mandatory=False))


def test_a_delayed_publication_keeps_its_own_deadline(
    new_side: NewSide, rabbitmq: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time that a new delay takes to settle counts only where there is one."""
    side = new_side(CONFIRM_TIMEOUT_S=60)
    broker = side.broker
    broker.declare(EVENTS)
    side.start_ready()
    delayed = event(mandatory=False)._replace(delay_s=10, timeout_s=0.1)
    broker.publish(delayed._replace(timeout_s=None))
    monkeypatch.setattr(delays, 'SETTLED_S', 60.0)
    assert isinstance(broker, RabbitBroker)
    with alarm(rabbitmq):
        publish_until_blocked(broker)
        with gevent.Timeout(PATIENCE_S), pytest.raises(BlockedError):
            broker.publish(delayed)


def test_an_event_exchange_that_was_deleted_is_bound_again(
    amqp_client: Client, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though no publish into the delay tells of it; what is due after that arrives."""
    monkeypatch.setattr(delays, 'BOUND_S', 0.0)
    inbox = listen('work')
    broker = inbox.side.broker
    broker.declare(EVENTS)
    broker.publish(event(b'1', mandatory=False)._replace(delay_s=0.1))
    assert inbox.take_acked(1) == [b'1']
    amqp_client.channel.exchange_delete(EVENTS.name)
    amqp_client.declare_exchange(EVENTS.name)
    amqp_client.bind('work', EVENTS.name, 'order')
    broker.publish(event(b'2', mandatory=False)._replace(delay_s=1.0))
    assert inbox.take_acked(1) == [b'2']


def test_a_connection_that_is_lost_while_a_delay_is_declared(
    new_side: NewSide, rabbitmq: Node, monkeypatch: pytest.MonkeyPatch, amqp_client: Client
) -> None:
    """It is declared on the next one, within the time that a publish has."""
    lost: list[int] = []
    declare = delays._declare_queue

    def losing(channel: Any, queue: Queue, exchange: Exchange) -> None:
        if not lost:
            lost.append(close_connections(rabbitmq, 'publish'))
        declare(channel, queue, exchange)

    monkeypatch.setattr(delays, '_declare_queue', losing)
    side = new_side()
    side.broker.declare(EVENTS)
    side.start_ready()
    side.broker.publish(event(mandatory=False)._replace(delay_s=10))
    assert lost == [1]
    amqp_client.wait_for_counts('greenmicro.delay.10000.shop.events', ready=1)


def test_a_target_that_is_cut_short_while_a_delay_is_declared_leaves_nothing_behind(
    new_side: NewSide, rabbitmq: Node, amqp_client: Client
) -> None:
    """At whatever moment: the declaration goes on, its channels are closed, and the next one publishes."""
    side = new_side()
    side.broker.declare(EVENTS)
    side.start_ready()
    for step, delay_s in enumerate((1, 2, 5, 10, 20, 30)):
        target = gevent.spawn(side.broker.publish, event(mandatory=False)._replace(delay_s=delay_s))
        gevent.sleep(step * 0.002)
        target.kill()
        side.broker.publish(event(mandatory=False)._replace(delay_s=delay_s))
        amqp_client.wait_for_counts(f'greenmicro.delay.{delay_s}000.shop.events')
    # The publish channel, and this test's own.
    wait(lambda: rabbitmq.eval('length(rabbit_channel:list()).') == '2')


@pytest.mark.parametrize('queue_type', ['classic', 'quorum'])
def test_retries_while_connections_are_lost(
    rabbitmq: Node, amqp_client: Client, listen: Listen, vhost: str, queue_type: str
) -> None:
    """Each comes again as its second attempt, whichever connection is lost meanwhile; none is left."""
    inbox = listen(queue_of_type('work', queue_type), prefetch=20)
    for number in range(60):
        amqp_client.publish(EVENTS.name, 'order', number, message_id=str(number))
    second: set[bytes] = set()
    taken = 0
    deadline = time.monotonic() + PATIENCE_S
    while len(second) < 60 or rabbitmq.queues(vhost)['work'][:2] != (0, 0):
        assert time.monotonic() < deadline, f'{len(second)} of 60'
        while len(inbox):
            message = inbox.receive()
            if not inbox.consumer.begin(message):
                continue
            if message.attempt > 1:
                second.add(message.body)
                inbox.ack(message)
            else:
                inbox.retry(message, 0.1)
            taken += 1
            if taken in {10, 25, 40, 55}:
                close_connections(rabbitmq, 'publish' if taken % 2 else 'consume')
        gevent.sleep(0.05)
    assert second == {b'%d' % number for number in range(60)}


def test_a_storm_of_retries_lets_others_publish(listen: Listen, amqp_client: Client) -> None:
    """Three thousand that fail at once are all held, and an event in the midst of them is not."""
    inbox = listen('work', prefetch=3_000)
    amqp_client.publish_many('', 'work', range(3_000))
    messages = inbox.take(3_000)
    for message in messages:
        inbox.retry(message, 10.0)
    gevent.sleep(0)
    inbox.side.broker.publish(event(b'fresh'))
    assert inbox.next().body == b'fresh'
    amqp_client.wait_for_counts('greenmicro.delay.10000', ready=3_000)


def test_it_is_declared_once_for_each_connection(
    rabbitmq: Node, work: Inbox, amqp_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for each message: a declaration costs the broker more than a publish."""
    declared: list[str] = []
    declare = delays._declare_queue

    def noting(channel: Any, queue: Queue, exchange: Exchange) -> None:
        declared.append(queue.name)
        declare(channel, queue, exchange)

    monkeypatch.setattr(delays, '_declare_queue', noting)
    for _ in range(3):
        retry_one(amqp_client, work)
        work.ack(work.next())
    assert declared == []
    assert close_connections(rabbitmq, 'publish')
    retry_one(amqp_client, work)
    work.ack(work.next())
    assert declared == [STEP]


def test_a_delay_that_is_not_declared_in_time_is_an_error(
    new_side: NewSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the publish's own deadline; once it is there the next one gets through."""
    may_go_on = Event()
    declare = delays._declare_queue

    def slow(channel: Any, queue: Queue, exchange: Exchange) -> None:
        may_go_on.wait()
        declare(channel, queue, exchange)

    monkeypatch.setattr(delays, '_declare_queue', slow)
    side = new_side()
    side.broker.declare(EVENTS)
    side.start_ready()
    later = event(mandatory=False)._replace(delay_s=10, timeout_s=0.1)
    with pytest.raises(UnavailableError, match='was not declared in time; the message was not sent'):
        side.broker.publish(later)
    may_go_on.set()
    side.broker.publish(later._replace(timeout_s=None))
