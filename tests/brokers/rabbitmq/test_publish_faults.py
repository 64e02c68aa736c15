"""Publishing while something goes wrong: each publish is told the truth, in time, and nobody else's."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import gevent
import pytest

from greenmicro.brokers.rabbitmq.broker import RabbitBroker
from greenmicro.errors import BlockedError, PublishError
from greenmicro.messages import Publication
from tests.brokers.rabbitmq.faults import ALARMS, alarm, publish_until_blocked
from tests.brokers.sides import EVENTS, Side, event, to_queue
from tests.support.amqp_client import Client
from tests.support.patience import PATIENCE_S
from tests.support.proxy import Proxy
from tests.support.rabbitmq import Node


@pytest.fixture
def uri(amqp_uri: str) -> str:
    """These tests are about RabbitMQ alone."""
    return amqp_uri


@pytest.fixture
def proxy(rabbitmq: Node) -> Iterator[Proxy]:
    with Proxy(rabbitmq.port) as made:
        yield made


def publisher(side: Side) -> RabbitBroker:
    side.broker.declare(EVENTS)
    broker = side.start_ready().broker
    assert isinstance(broker, RabbitBroker)
    return broker


def outcome(broker: RabbitBroker, publication: Publication) -> str:
    """How a publish ended."""
    try:
        broker.publish(publication)
    except PublishError as error:
        return type(error).__name__
    return 'confirmed'


def outcomes(broker: RabbitBroker, publications: list[Publication]) -> list[str]:
    """How publishes ended that were made at the same time."""
    flights = [gevent.spawn(outcome, broker, publication) for publication in publications]
    gevent.joinall(flights, raise_error=True)
    return [flight.value for flight in flights]


def ids_in(client: Client, queue: str) -> Counter[str]:
    ready, _ = client.queue_counts(queue)
    return Counter(message.properties.message_id for message in client.take(queue, ready))


@pytest.mark.parametrize('kind', ALARMS)
def test_an_alarm(kind: str, new_side: Callable[..., Side], amqp_client: Client, rabbitmq: Node) -> None:
    """Publishers are told at their deadline, consumers go on; publishing does within 1 s of its end."""
    amqp_client.declare_queue('q')
    side = new_side(CONFIRM_TIMEOUT_S=0.3)
    inbox = side.subscribe('work', prefetch=3)
    broker = publisher(side)
    for number in range(20):
        broker.publish(event(b'%d' % number))
    with alarm(rabbitmq, kind):
        publish_until_blocked(broker)
        began = time.monotonic()
        with pytest.raises(BlockedError, match='alarm'):
            broker.publish(to_queue('q', message_id='second'))
        assert 0.3 <= time.monotonic() - began < 5
        assert inbox.take_acked(20) == [b'%d' % number for number in range(20)]
        waiting = gevent.spawn(
            broker.publish, to_queue('q', message_id='third')._replace(timeout_s=PATIENCE_S)
        )
        gevent.idle()
    ended = time.monotonic()
    waiting.get(timeout=PATIENCE_S)
    assert time.monotonic() - ended < 1.0
    assert ids_in(amqp_client, 'q') == {'third': 1}


def test_an_alarm_that_comes_while_messages_are_in_flight(
    new_side: Callable[..., Side], amqp_client: Client, rabbitmq: Node
) -> None:
    """None hangs: each is confirmed, or may have arrived, or was not sent; and so it is."""
    amqp_client.declare_queue('q')
    broker = publisher(new_side(CONFIRM_TIMEOUT_S=0.4))
    results: dict[str, str] = {}
    numbers = itertools.count()

    def publish() -> None:
        result = ''
        while result in ('', 'confirmed', 'UnconfirmedError'):
            message_id = str(next(numbers))
            result = results[message_id] = outcome(broker, to_queue('q', bytes(5_000), message_id=message_id))

    publishing = [gevent.spawn(publish) for _ in range(50)]
    try:
        while 'confirmed' not in results.values():
            gevent.sleep(0.001)
        with alarm(rabbitmq):
            assert len(gevent.joinall(publishing, timeout=PATIENCE_S, raise_error=True)) == 50
    finally:
        gevent.killall(publishing)
    assert outcome(broker, to_queue('q', message_id='after')) == 'confirmed'
    found = Counter(results.values())
    assert found.keys() == {'confirmed', 'UnconfirmedError', 'BlockedError'}
    assert found['UnconfirmedError'] <= 50
    arrived = ids_in(amqp_client, 'q')
    assert set(arrived.values()) == {1}
    assert {one for one, result in results.items() if result == 'confirmed'} <= arrived.keys()
    assert not {one for one, result in results.items() if result == 'BlockedError'} & arrived.keys()


def test_an_alarm_while_more_is_in_flight_than_sockets_hold(
    new_side: Callable[..., Side], amqp_client: Client, rabbitmq: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that reads nothing for longer than its silence would be borne: all is confirmed after it."""
    amqp_client.declare_queue('q')
    broker = publisher(new_side(CONFIRM_TIMEOUT_S=PATIENCE_S, HEARTBEAT_S=1))
    publications = [to_queue('q', bytes(100_000), message_id=str(number)) for number in range(200)]
    with alarm(rabbitmq):
        publishing = gevent.spawn(outcomes, broker, publications)
        gevent.sleep(4)
        assert not publishing.ready()
    assert publishing.get(timeout=PATIENCE_S) == ['confirmed'] * 200
    assert not [message for message in caplog.messages if 'lost' in message]
    assert ids_in(amqp_client, 'q') == Counter(str(number) for number in range(200))


def test_a_deadline_of_its_own(new_side: Callable[..., Side], rabbitmq: Node) -> None:
    """A publication's deadline goes over that of the settings."""
    broker = publisher(new_side(CONFIRM_TIMEOUT_S=60))
    with alarm(rabbitmq):
        publish_until_blocked(broker)
        began = time.monotonic()
        with pytest.raises(BlockedError):
            broker.publish(event(mandatory=False)._replace(timeout_s=0.1))
        assert 0.1 <= time.monotonic() - began < 5


#: The fault matrix has 10,000; this many take a moment.
LATE = 1_000


def test_late_confirms(new_side: Callable[..., Side], uri: str, proxy: Proxy, amqp_client: Client) -> None:
    """Confirms and returns that come after the deadline are nobody's; the publishes after get their own."""
    amqp_client.declare_queue('q')
    side = Side(f'amqp://guest:guest@127.0.0.1:{proxy.port}{urlsplit(uri).path}', CONFIRM_TIMEOUT_S=0.3)
    broker = publisher(side)
    numbers = itertools.count()

    def mixed() -> list[Publication]:
        return [
            to_queue('q' if number % 3 else 'nobody', message_id=str(number))
            for number in itertools.islice(numbers, LATE)
        ]

    try:
        proxy.set(down={'mode': 'delay', 'seconds': 0.5})
        late = mixed()
        assert set(outcomes(broker, late)) == {'UnconfirmedError'}
        # The answers to those come in among the answers to these.
        proxy.set()
        on_time = [one._replace(timeout_s=PATIENCE_S) for one in mixed()]
        assert outcomes(broker, on_time) == [
            'confirmed' if one.routing_key == 'q' else 'UnroutableError' for one in on_time
        ]
    finally:
        side.close()
    routed = Counter(one.properties['message_id'] for one in [*late, *on_time] if one.routing_key == 'q')
    assert ids_in(amqp_client, 'q') == routed


def test_a_message_that_closes_the_channel_among_many(
    new_side: Callable[..., Side], amqp_client: Client
) -> None:
    """It alone is refused, the others arrive; those of its group at most three times."""
    amqp_client.declare_queue('q')
    broker = publisher(new_side(CONFIRM_TIMEOUT_S=PATIENCE_S))
    publications = [to_queue('q', message_id=str(number)) for number in range(2_000)]
    publications[1_000] = to_queue('q', message_id='bad', expiration='soon')
    assert Counter(outcomes(broker, publications)) == {'confirmed': 1_999, 'RefusedError': 1}
    arrived = ids_in(amqp_client, 'q')
    assert arrived.keys() == {str(number) for number in range(2_000)} - {'1000'}
    assert max(arrived.values()) <= 3


def test_an_exchange_deleted_under_many_publishers(
    new_side: Callable[..., Side], amqp_client: Client
) -> None:
    """It is declared again, and each publish gets through."""
    broker = publisher(new_side())
    for _ in range(3):
        flights = [gevent.spawn(outcome, broker, event(mandatory=False)) for _ in range(100)]
        gevent.idle()
        amqp_client.channel.exchange_delete(EVENTS.name)
        flights += [gevent.spawn(outcome, broker, event(mandatory=False)) for _ in range(100)]
        gevent.joinall(flights, raise_error=True)
        assert {flight.value for flight in flights} == {'confirmed'}


def test_a_full_queue_that_is_emptied(new_side: Callable[..., Side], amqp_client: Client) -> None:
    """A publish is refused while it is full, and taken after, on the same channel."""
    amqp_client.declare_queue('full', arguments={'x-max-length': 1, 'x-overflow': 'reject-publish'})
    broker = publisher(new_side())
    assert outcomes(broker, [to_queue('full', message_id='1')]) == ['confirmed']
    channel = broker._publisher._channel_id, broker._publisher._connection
    assert outcomes(broker, [to_queue('full', message_id='2')]) == ['RefusedError']
    amqp_client.purge('full')
    assert outcomes(broker, [to_queue('full', message_id='3')]) == ['confirmed']
    assert channel == (broker._publisher._channel_id, broker._publisher._connection)
    assert ids_in(amqp_client, 'full') == {'3': 1}


def test_a_broker_that_does_not_answer(uri: str, proxy: Proxy) -> None:
    """What it may have got is unconfirmed at the deadline; many at once take no longer than one."""
    side = Side(f'amqp://guest:guest@127.0.0.1:{proxy.port}{urlsplit(uri).path}', CONFIRM_TIMEOUT_S=0.3)
    broker = publisher(side)
    try:
        proxy.set(up={'mode': 'blackhole'})
        began = time.monotonic()
        assert outcomes(broker, [event(mandatory=False)] * 200) == ['UnconfirmedError'] * 200
        assert 0.3 <= time.monotonic() - began < 5  # one after the other: 60 s
    finally:
        proxy.set(now='rst')
        side.close()
