"""Publisher, against RabbitMQ: each publish gets the broker's answer to itself."""

import logging
import time
from collections.abc import Callable

import gevent
import pytest

from greenmicro.amqp.topology import Exchange
from greenmicro.brokers.rabbitmq.broker import RabbitBroker
from greenmicro.errors import (
    BlockedError,
    BrokerError,
    PayloadError,
    PublishError,
    RefusedError,
    StoppingError,
    UnroutableError,
)
from tests.brokers.rabbitmq.faults import alarm, close_connections, publish_until_blocked
from tests.brokers.sides import EVENTS, Side, event, to_queue
from tests.support.amqp_client import Client
from tests.support.erlang import MOST_BYTES, SET_MOST_BYTES
from tests.support.patience import PATIENCE_S
from tests.support.rabbitmq import Node

Publisher = Callable[..., RabbitBroker]


@pytest.fixture
def uri(amqp_uri: str) -> str:
    """These tests are about RabbitMQ alone."""
    return amqp_uri


@pytest.fixture
def publisher(new_side: Callable[..., Side]) -> Publisher:
    """Makes brokers that only publish."""

    def make(**config: object) -> RabbitBroker:
        side = new_side(**config)
        side.broker.declare(EVENTS)
        broker = side.start_ready().broker
        assert isinstance(broker, RabbitBroker)
        return broker

    return make


def outcome(publish: Callable[[], None]) -> str:
    """How a publish ended."""
    try:
        publish()
    except PublishError as error:
        return type(error).__name__
    return 'confirmed'


def test_a_hundred_greenlets_each_get_their_own_result(publisher: Publisher, amqp_client: Client) -> None:
    """Confirmed, refused by a full queue, and unroutable, all mixed on one channel."""
    amqp_client.declare_queue('open')
    amqp_client.declare_queue('full', arguments={'x-max-length': 0, 'x-overflow': 'reject-publish'})
    broker = publisher()
    kinds = [('open', 'confirmed'), ('full', 'RefusedError'), ('nobody', 'UnroutableError')]

    def publish(number: int) -> list[tuple[str, str]]:
        results = []
        for step in range(10):
            queue, wanted = kinds[(number + step) % 3]
            message = to_queue(queue, message_id=f'{number}-{step}')
            results.append((wanted, outcome(lambda message=message: broker.publish(message))))
        return results

    greenlets = [gevent.spawn(publish, number) for number in range(100)]
    gevent.joinall(greenlets, raise_error=True)
    assert all(wanted == found for greenlet in greenlets for wanted, found in greenlet.value)


def test_one_id_in_flight_twice(publisher: Publisher, amqp_client: Client) -> None:
    """The one that nobody takes is unroutable, the other one is not."""
    amqp_client.declare_queue('open')
    broker = publisher()
    for _ in range(20):
        both = [
            gevent.spawn(outcome, lambda queue=queue: broker.publish(to_queue(queue, message_id='same')))
            for queue in ('open', 'nobody')
        ]
        gevent.joinall(both)
        assert [greenlet.value for greenlet in both] == ['confirmed', 'UnroutableError']


def test_a_killed_publisher_corrupts_nothing(publisher: Publisher, amqp_client: Client) -> None:
    """Greenlets are killed at all stages of large publishes; the others' arrive whole."""
    amqp_client.declare_queue('q')
    broker = publisher()
    body = bytes(300_000)
    doomed = [gevent.spawn(broker.publish, to_queue('q', body, message_id='doomed')) for _ in range(30)]
    kept = [gevent.spawn(broker.publish, to_queue('q', body, message_id='kept')) for _ in range(30)]
    for number, greenlet in enumerate(doomed):
        if not number % 5:
            gevent.sleep(0)
        greenlet.kill(block=False)
    gevent.joinall(kept, raise_error=True)
    broker.publish(to_queue('q', b'last'))
    ready, _ = amqp_client.queue_counts('q')
    received = amqp_client.take('q', ready)
    assert {len(message.body) for message in received[:-1]} == {len(body)}
    assert [message.properties.message_id for message in received].count('kept') == 30
    assert received[-1].body == b'last'


def test_the_callers_own_timeout_is_its_own(publisher: Publisher, rabbitmq: Node) -> None:
    """A gevent.Timeout around a publish is not taken for the confirm's."""
    broker = publisher(CONFIRM_TIMEOUT_S=15)

    with alarm(rabbitmq):
        publish_until_blocked(broker)
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.1):
            broker.publish(event(mandatory=False))


def test_a_queue_is_not_declared_during_an_alarm(
    publisher: Publisher, amqp_client: Client, rabbitmq: Node
) -> None:
    """The broker would answer at its end; after that it is declared, and a refusal says why."""
    broker = publisher()
    with alarm(rabbitmq):
        publish_until_blocked(broker)
        with gevent.Timeout(PATIENCE_S), pytest.raises(BlockedError, match='alarm'):
            broker._publisher.declare_queue('q')
    broker.publish(event(mandatory=False))
    broker._publisher.declare_queue('q')
    assert amqp_client.queue_counts('q') == (0, 0)
    amqp_client.declare_queue('other', arguments={'x-max-length': 5})
    with pytest.raises(BrokerError, match='x-max-length'):
        broker._publisher.declare_queue('other')


@pytest.mark.parametrize('size', [131_064, 131_065, 131_072, 1_000_000])
def test_bodies_around_the_size_of_a_frame(publisher: Publisher, amqp_client: Client, size: int) -> None:
    amqp_client.declare_queue('q')
    publisher().publish(to_queue('q', bytes(size)))
    assert amqp_client.get('q').body == bytes(size)


def test_what_is_refused_here_counts_no_tag(publisher: Publisher, amqp_client: Client) -> None:
    """After it the broker's count and ours are still the same."""
    amqp_client.declare_queue('q')
    broker = publisher()
    for _ in range(3):
        with pytest.raises(PayloadError):
            broker.publish(to_queue('q', headers={'x': object()}))
        broker.publish(to_queue('q'))
        with pytest.raises(UnroutableError):
            broker.publish(to_queue('nobody'))


@pytest.mark.parametrize(
    'poison',
    [
        {'expiration': 'soon'},
        {'user_id': 'somebody else'},
        {'exchange': 'nobody.events'},
    ],
    ids=lambda poison: next(iter(poison)),
)
def test_a_message_that_closes_the_channel_takes_no_other_along(
    publisher: Publisher, amqp_client: Client, poison: dict[str, str]
) -> None:
    """Three that the broker closes the channel for are refused; a hundred beside them are confirmed."""
    amqp_client.declare_queue('q')
    broker = publisher()
    good = [to_queue('q', message_id=str(number)) for number in range(100)]
    bad = [event(**{'exchange': '', 'routing_key': 'q', 'message_id': 'bad', **poison})] * 3  # type: ignore[arg-type]
    mixed = [*good[:30], bad[0], *good[30:60], *bad[1:], *good[60:]]
    flights = [gevent.spawn(outcome, lambda message=message: broker.publish(message)) for message in mixed]
    gevent.joinall(flights)
    wanted = ['RefusedError' if message in bad else 'confirmed' for message in mixed]
    assert [flight.value for flight in flights] == wanted
    ready, _ = amqp_client.queue_counts('q')
    received = {message.properties.message_id for message in amqp_client.take('q', ready)}
    assert received == {message.properties['message_id'] for message in good}


def test_a_body_beyond_the_brokers_limit_is_refused(
    publisher: Publisher, amqp_client: Client, rabbitmq: Node
) -> None:
    """It closes the channel once, and is not sent a second time."""
    amqp_client.declare_queue('q')
    limit = rabbitmq.eval(MOST_BYTES)
    rabbitmq.eval(SET_MOST_BYTES.format(size=1000))
    try:
        broker = publisher()
        with pytest.raises(RefusedError, match='larger than'):
            broker.publish(to_queue('q', bytes(1001)))
        broker.publish(to_queue('q', bytes(1000)))
    finally:
        rabbitmq.eval(SET_MOST_BYTES.format(size=limit))


def test_a_deleted_exchange_is_declared_again(publisher: Publisher, amqp_client: Client) -> None:
    """Its publish arrives; what was bound to it, nobody can know."""
    broker = publisher()
    broker.publish(event(mandatory=False))
    amqp_client.channel.exchange_delete(EVENTS.name)
    broker.publish(event(mandatory=False))
    amqp_client.channel.exchange_declare(EVENTS.name, passive=True)


def test_a_lost_connection_is_not_noticed_by_who_publishes(
    publisher: Publisher, amqp_client: Client, rabbitmq: Node
) -> None:
    """What was in flight is sent once more with its id; all of it arrives."""
    amqp_client.declare_queue('q')
    broker = publisher()
    going_on = True
    sent: list[str] = []

    def publish(number: int) -> None:
        step = 0
        while going_on:
            message_id = f'{number}-{step}'
            broker.publish(to_queue('q', message_id=message_id))
            sent.append(message_id)
            step += 1

    greenlets = [gevent.spawn(publish, number) for number in range(20)]
    for _ in range(3):
        wanted = len(sent) + 200
        while len(sent) < wanted:
            gevent.sleep(0.001)
        close_connections(rabbitmq, 'publish')
    wanted = len(sent) + 200
    while len(sent) < wanted:
        gevent.sleep(0.001)
    going_on = False
    gevent.joinall(greenlets, raise_error=True)
    ready, _ = amqp_client.queue_counts('q')
    received = {message.properties.message_id for message in amqp_client.take('q', ready)}
    assert set(sent) <= received


def test_close_lets_what_is_in_flight_land(publisher: Publisher, amqp_client: Client) -> None:
    """Who waits for a confirm gets it; who comes later is told that we have stopped."""
    amqp_client.declare_queue('q')
    broker = publisher()
    flights = [gevent.spawn(broker.publish, to_queue('q')) for _ in range(50)]
    gevent.idle()
    broker.close(PATIENCE_S)
    gevent.joinall(flights, raise_error=True)
    with pytest.raises(StoppingError):
        broker.publish(to_queue('q'))


def test_close_ends_all_waiting(publisher: Publisher, rabbitmq: Node) -> None:
    """Under an alarm nothing lands: close keeps its time, and each publish is told the truth."""
    broker = publisher(CONFIRM_TIMEOUT_S=PATIENCE_S)
    with alarm(rabbitmq):
        publish_until_blocked(broker)
        waiting = gevent.spawn(outcome, lambda: broker.publish(event(mandatory=False)))
        gevent.idle()
        began = time.monotonic()
        broker.close(0.5)
        assert time.monotonic() - began < 5
        assert waiting.get(timeout=PATIENCE_S) == 'StoppingError'


def test_an_exchange_that_differs_is_fatal(new_side: Callable[..., Side], amqp_client: Client) -> None:
    """At start, with what differs."""
    amqp_client.declare_exchange('differs', 'fanout')
    side = new_side()
    side.broker.declare(Exchange('differs'))
    side.start()
    assert "'type'" in str(side.fatal.get(timeout=PATIENCE_S))


def test_one_line_in_the_log_for_each_change(
    publisher: Publisher, rabbitmq: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """Connected, lost, connected."""
    caplog.set_level(logging.INFO)
    broker = publisher()
    close_connections(rabbitmq, 'publish')
    while not any('lost' in message for message in caplog.messages):
        gevent.sleep(0.001)
    assert broker.wait_ready(PATIENCE_S)
    lines = [
        message.split(' (')[0] for message in caplog.messages if message.startswith('publish connection')
    ]
    where = f'127.0.0.1:{rabbitmq.port}'
    assert lines == [
        f'publish connection: connected to {where}',
        'publish connection: lost',
        f'publish connection: connected to {where}',
    ]
