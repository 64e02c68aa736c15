"""What crosses to a child process crosses unchanged."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from greenmicro import (
    Dependency,
    EventListener,
    MessageTranslator,
    Producer,
    Retry,
    Route,
    TimeEntrypoint,
    Worker,
)
from greenmicro.amqp.topology import Exchange, Queue, Subscription
from greenmicro.messages import (
    EMPTY,
    NOT_RUN,
    SUCCEEDED,
    Failure,
    Message,
    Outcome,
    Publication,
    Settlement,
)
from tests.fakes import message, settings


class Session(Dependency):
    def __init__(self, path: str) -> None:
        self.path = path

    def provide(self, context: Any) -> Iterator[Any]:
        yield self.path


class Upper(MessageTranslator):
    pass


class Own(Worker):
    pass


def crossed(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value, 5))


FAILURE = Failure.of('target error', KeyError('size'))


@pytest.mark.parametrize(
    'value',
    [
        message({'id': 1}, headers={'a': [1, {'b': None}]}, exchange='x', routing_key='k', queue='q'),
        Message(b'', redelivered=True, unreadable=b'\xff'),
        FAILURE,
        Outcome.failed(FAILURE),
        Outcome(True, None, (b'1', 'application/json', 'utf-8')),
        SUCCEEDED,
        NOT_RUN,
        Publication('x', 'k', b'1', {'message_id': 'm'}, {'h': 1}, True, 1.5),
        Retry(3, on=(OSError, 'requests.RequestException')),
        Route('tasks.run', retry=Retry(3)).retry,
        Publication('x', 'k', b'1'),
        settings(WORKER_MODE='greedy_process', MAX_WORKERS=3),
        Subscription(Queue('q', arguments={'x-queue-type': 'quorum'}), Exchange('x'), 'k', 12),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_come_out_equal(value: Any) -> None:
    """Of the same type, field for field."""
    assert crossed(value) == value
    assert type(crossed(value)) is type(value)


@pytest.mark.parametrize('settlement', Settlement)
def test_a_settlement_stays_the_one_of_its_name(settlement: Settlement) -> None:
    """It is compared by identity."""
    assert crossed(settlement) is settlement


def test_headers_that_are_none_cross_as_a_plain_dict() -> None:
    """A mapping proxy would not pickle."""
    assert type(crossed(Message(b'')).headers) is type(EMPTY) is dict


def test_a_route_crosses_with_all_that_it_holds() -> None:
    """Dependencies by their attributes, classes by their names."""
    declared = Route(
        'tasks.run', {'db': Session('x.db'), 'p': Producer()}, [Upper()], Own, timeout_s=2.5, on_error='drop'
    )
    route = crossed(declared)
    assert (route.target, route.worker_class) == ('tasks.run', Own)
    assert (route.timeout_s, route.on_error) == (2.5, 'drop')
    assert (route.dependencies['db'].path, type(route.dependencies['p'])) == ('x.db', Producer)
    assert [type(translator) for translator in route.translators] == [Upper]
    with pytest.raises(dataclasses.FrozenInstanceError):
        route.target = 'other'


def test_a_dependency_that_two_routes_share_stays_one() -> None:
    """So it is set up once in each child, too."""
    shared = Session('x.db')
    first, second = crossed([Route('tasks.a', {'db': shared}), Route('tasks.b', {'db': shared})])
    assert first.dependencies['db'] is second.dependencies['db']


def test_entrypoints_cross_before_they_are_set_up() -> None:
    """As they were declared."""
    listener = crossed(EventListener('orders', 'placed', Route('tasks.run'), queue='q'))
    assert (listener.source_service, listener.event_name, listener.queue) == ('orders', 'placed', 'q')
    assert listener.name == 'EventListener -> tasks.run'
    timer = crossed(TimeEntrypoint(5.0, Route('tasks.run'), eager=True))
    assert (timer.interval_s, timer.eager, timer.ticks, timer.route.target) == (5.0, True, 0, 'tasks.run')
