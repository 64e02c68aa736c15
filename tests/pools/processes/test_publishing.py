"""What targets publish, from any thread, through the parent."""

import json
import sys

import pytest

from greenmicro.amqp.dependencies import Producer
from greenmicro.errors import PayloadError, RefusedError, StoppingError, UnconfirmedError, UnroutableError
from greenmicro.messages import Publication
from tests.pools.processes.parts import MakePool, Published, Recorder, message, succeeded

pytestmark = pytest.mark.usefixtures('measured')


def test_a_target_publishes_through_the_parent(start: MakePool, published: Published) -> None:
    entrypoint = Recorder('jobs.publish', dependencies={'producer': Producer()})
    start(entrypoint).submit(entrypoint, message({'a': 'ü'}))
    succeeded(entrypoint.wait_for(1)[0])
    [publication] = published.all
    assert isinstance(publication, Publication)
    assert publication.exchange == 'tested.events'
    assert publication.routing_key == 'event'
    assert json.loads(publication.body) == {'a': 'ü'}
    assert publication.mandatory


def test_all_threads_of_a_target_publish_at_once(start: MakePool, published: Published) -> None:
    entrypoint = Recorder('jobs.publish_from_threads', dependencies={'producer': Producer()})
    pool = start(entrypoint)
    pool.submit(entrypoint, message())
    pool.submit(entrypoint, message())
    for outcome in entrypoint.wait_for(2):
        succeeded(outcome)
    sent = published.wait_for(360)
    for name in ('main', *(f'thread{n}' for n in range(8))):
        assert [number for thread, number in sent if thread == name] == [*range(20)] * 2


def test_a_thread_publishes_after_its_target_has_ended(start: MakePool, published: Published) -> None:
    entrypoint = Recorder('jobs.leave_publisher', dependencies={'producer': Producer()})
    pool = start(entrypoint)
    for number in range(20):
        pool.submit(entrypoint, message(number))
    entrypoint.wait_for(20)
    assert sorted(published.wait_for(20)) == [*range(20)]


def test_errors_of_publishing_are_raised_in_the_target(start: MakePool, published: Published) -> None:
    raised = [
        UnroutableError('nobody listens'),
        RefusedError('the queue is full'),
        UnconfirmedError('no confirm within 10 s'),
        StoppingError('the service has stopped'),
        PayloadError('no'),
    ]
    published.errors = {type(error).__name__: error for error in raised} | {'odd': ZeroDivisionError('oops')}
    entrypoint = Recorder('jobs.errors', dependencies={'producer': Producer()})
    start(entrypoint).submit(entrypoint, message([*published.errors, 'fine']))
    [found] = entrypoint.results(1)
    assert found == [
        *(['greenmicro.errors', type(error).__name__, str(error)] for error in raised),
        ['greenmicro.errors', 'PublishError', 'ZeroDivisionError: oops'],
    ]
    assert [publication.routing_key for publication in published.all] == ['fine']


@pytest.mark.parametrize(('target', 'wanted'), [('odd_header', 'Local'), ('own_header', 'jobs.Word')])
def test_what_cannot_leave_a_child_is_told_to_the_target(start: MakePool, target: str, wanted: str) -> None:
    entrypoint = Recorder(f'jobs.{target}', dependencies={'producer': Producer()})
    start(entrypoint).submit(entrypoint, message())
    failure = entrypoint.wait_for(1)[0].failure
    assert failure is not None
    assert failure.error.startswith('greenmicro.errors.PublishError')
    assert wanted in failure.error
    assert 'jobs' not in sys.modules
