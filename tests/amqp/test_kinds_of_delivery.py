"""Who gets a message: one of a service, one of all, or each replica; and queues and exchanges of any kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from gevent.queue import Queue as Line

from greenmicro.amqp.dependencies import Publisher
from greenmicro.amqp.entrypoints import EventListener, Listener, QueueListener
from greenmicro.amqp.topology import Exchange, Queue
from greenmicro.entrypoints import Entrypoint
from greenmicro.errors import BrokerError, UnroutableError
from greenmicro.routes import Route
from greenmicro.runner import Runner
from tests.brokers.conftest import listen, new_side, uri
from tests.brokers.sides import Listen, NewSide, event, to_queue
from tests.fakes import settings, tasks

__all__ = ['listen', 'new_side', 'uri']

LOGS = Exchange('logs', 'fanout')


#: Runs a service that puts its name and what it gets into a line.
Replica = Callable[..., Runner]


@pytest.fixture
def got() -> Line[tuple[str, Any]]:
    """What targets got: the service's own name for itself, and the payload."""
    return Line()


@pytest.fixture
def replica(uri: str, got: Line[tuple[str, Any]]) -> Iterator[Replica]:
    """Runs services with one listener each, until the end of the test."""
    with ExitStack() as stack:

        def run(name: str, make: Callable[[Route], Listener], service: str = 'shop', **config: Any) -> Runner:
            def work(payload: Any) -> None:
                got.put((name, payload))
                if payload == 'bad':
                    raise ValueError('as told')

            with tasks(work=work) as module:
                config = {'AMQP_URI': uri, 'SERVICE_NAME': service, 'STOP_TIMEOUT_S': 5, **config}
                return stack.enter_context(Runner([make(Route(f'{module}.work'))], config))

        yield run


def source(kind: str, **options: Any) -> Callable[[Route], EventListener]:
    """Makes listeners to one event."""
    return lambda route: EventListener('shop', 'order', route, kind=kind, **options)


def publish(new_side: NewSide, *bodies: bytes) -> None:
    broker = new_side().start_ready().broker
    for body in bodies:
        broker.publish(event(body))


def taken(got: Line[tuple[str, Any]], count: int) -> list[tuple[str, Any]]:
    return sorted(got.get(timeout=15) for _ in range(count))


def test_a_singleton_event_goes_to_one_of_all_services(
    replica: Replica, got: Line[tuple[str, Any]], new_side: NewSide
) -> None:
    """They share a queue, whatever their names."""
    replica('one', source('singleton'), service='a')
    replica('two', source('singleton'), service='b')
    publish(new_side, *(b'%d' % number for number in range(20)))
    assert sorted(payload for _, payload in taken(got, 20)) == list(range(20))
    assert got.empty()


def test_a_pool_event_goes_to_one_replica_of_each_service(
    replica: Replica, got: Line[tuple[str, Any]], new_side: NewSide
) -> None:
    """As ever."""
    replica('a1', source('pool'), service='a')
    replica('a2', source('pool'), service='a')
    replica('b', source('pool'), service='b')
    publish(new_side, b'1')
    names = [name[0] for name, _ in taken(got, 2)]
    assert names == ['a', 'b']


def test_a_broadcast_goes_to_each_replica(
    replica: Replica, got: Line[tuple[str, Any]], new_side: NewSide
) -> None:
    """One that is not there misses it; its queue has gone with it."""
    first = replica('a1', source('broadcast'), service='a')
    replica('a2', source('broadcast'), service='a')
    publish(new_side, b'1')
    assert taken(got, 2) == [('a1', 1), ('a2', 1)]
    first.__exit__(None, None, None)
    publish(new_side, b'2')
    assert taken(got, 1) == [('a2', 2)]


def test_a_broadcast_with_an_identifier_misses_nothing(
    replica: Replica, got: Line[tuple[str, Any]], new_side: NewSide
) -> None:
    """Its queue waits for it."""
    new_side().start_ready()  # what holds a memory broker up meanwhile
    make = source('broadcast', identifier='host-1')
    replica('before', make).__exit__(None, None, None)
    publish(new_side, b'1')
    replica('after', make)
    assert taken(got, 1) == [('after', 1)]


def test_what_fails_of_a_broadcast_is_kept_and_not_tried_again(
    replica: Replica, got: Line[tuple[str, Any]], new_side: NewSide, listen: Listen
) -> None:
    """In the dead queue of the pool, since its own goes away."""
    replica('a', source('broadcast'), RETRY={'max_attempts': 3, 'initial_delay_s': 0.1})
    publish(new_side, b'"bad"', b'1')
    assert {payload for _, payload in [got.get(timeout=15), got.get(timeout=15)]} == {'bad', 1}
    dead = Queue('evt-shop-order--shop.work.dead', arguments={'x-queue-type': 'classic'})
    letter = listen(dead, exchange=None).next()
    assert letter.body == b'"bad"'
    assert letter.headers['greenmicro.attempt'] == 1


def test_a_queue_of_ones_own_is_consumed(
    replica: Replica, got: Line[tuple[str, Any]], new_side: NewSide
) -> None:
    """What is published to it, and what its exchange feeds it."""
    replica('a', lambda route: QueueListener('jobs', route, exchange=LOGS, arguments={'x-max-length': 100}))
    broker = new_side().start_ready().broker
    broker.publish(to_queue('jobs', b'1'))
    broker.publish(event(b'2', 'any key', exchange='logs'))
    assert taken(got, 2) == [('a', 1), ('a', 2)]


def test_an_existing_queue_is_taken_as_it_is(
    replica: Replica, got: Line[tuple[str, Any]], new_side: NewSide, listen: Listen
) -> None:
    """Whatever its arguments."""
    listen(Queue('jobs', arguments={'x-max-length': 7}), exchange=None).side.close()
    owner = new_side()
    owner.subscribe(Queue('jobs', arguments={'x-max-length': 7}), exchange=None, prefetch=1)
    owner.start_ready().stop()
    replica('a', lambda route: QueueListener('jobs', route, declare=False))
    owner.broker.publish(to_queue('jobs', b'1'))
    assert taken(got, 1) == [('a', 1)]


def test_an_existing_queue_that_is_not_there_is_told(replica: Replica) -> None:
    """At start."""
    with pytest.raises(BrokerError, match='jobs'):
        replica('a', lambda route: QueueListener('jobs', route, declare=False))


class Once(Entrypoint):
    """Runs its route when it is told to."""


def test_a_publisher_reaches_any_exchange(uri: str, listen: Listen, got: Line[Any]) -> None:
    """Declared where it says so; with all properties, and a body of any type."""

    def work(payload: Any, queues: Any, logs: Any) -> None:
        try:
            logs('key', {'n': 1}, priority=3, type='line', headers={'own': 7})
            logs('key', b'\x00\xff', content_type='application/octet-stream')
            queues('nowhere', 1, mandatory=True)
        except Exception as error:
            got.put(error)

    dependencies = {'queues': Publisher(), 'logs': Publisher(LOGS)}
    with tasks(work=work) as module:
        entrypoint = Once(Route(f'{module}.work', dependencies=dependencies))
        with Runner([entrypoint], {'AMQP_URI': uri, 'SERVICE_NAME': 'shop'}):
            inbox = listen('mine', LOGS)
            entrypoint.receive(entrypoint.message({}))
            first, second = inbox.take(2)
            assert isinstance(got.get(timeout=15), UnroutableError)
    assert (first.body, first.properties['priority'], first.properties['type']) == (b'{"n":1}', 3, 'line')
    assert first.headers['own'] == 7
    assert len(first.headers['nameko.call_id_stack']) == 1
    assert (second.body, second.properties['content_type']) == (b'\x00\xff', 'application/octet-stream')


@pytest.mark.parametrize(
    ('listener', 'fault'),
    [
        (EventListener('s', 'e', Route('t.w'), kind='pools'), "kind: wanted one of 'pool', 'singleton', "),
        (
            EventListener('s', 'e', Route('t.w'), identifier='x'),
            'identifier: only a broadcast has one',
        ),
        (EventListener('s', 'e', Route('t.w'), kind='broadcast', identifier=''), 'identifier: wanted a text'),
        (
            EventListener('s', 'e', Route('t.w'), None, 'quorum', 'broadcast'),
            'queue_type: a broadcast',
        ),
        (EventListener('s', 'e' * 210, Route('t.w'), kind='broadcast'), 'queue name'),
        (QueueListener('', Route('t.w')), "queue: wanted a text, found ''"),
        (QueueListener('q' * 251, Route('t.w')), 'queue name'),
        (QueueListener('q', Route('t.w'), 'logs'), "exchange: wanted an Exchange('name', 'kind') or None"),  # type: ignore[arg-type]
        (QueueListener('q', Route('t.w'), routing_key=None), 'routing_key: wanted a text'),  # type: ignore[arg-type]
        (QueueListener('q', Route('t.w'), queue_type='x'), 'queue_type: wanted one of'),
        (QueueListener('q', Route('t.w'), arguments=3), 'arguments: wanted a dict'),  # type: ignore[arg-type]
        (QueueListener('q', Route('t.w'), LOGS, declare=False), 'declare: what is not declared here'),
    ],
)
def test_each_fault_is_one_sentence(listener: Listener, fault: str) -> None:
    """It says what was wanted and what was found."""
    (only,) = listener.faults(settings())
    assert only.startswith(fault)
