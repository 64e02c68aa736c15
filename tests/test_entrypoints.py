"""Entrypoint and TimeEntrypoint: their life, their faults, and what becomes of an outcome."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from greenmicro import codecs
from greenmicro.entrypoints import Entrypoint, TimeEntrypoint
from greenmicro.errors import PayloadError
from greenmicro.messages import NOT_RUN, SUCCEEDED, Failure, Message, Outcome, Reason, Settlement
from greenmicro.retry import Retry
from greenmicro.routes import Route
from tests.fakes import FakeService, Recorder, message

ROUTE = Route('tasks.run')
FAILED = Outcome.failed(Failure('target error', 'builtins.ValueError: v', (), 'Traceback ...'))


def test_the_base_receives_and_claims_nothing() -> None:
    """Its hooks may each be left out."""
    entrypoint, service = Entrypoint(ROUTE), FakeService()
    entrypoint.setup(service)  # type: ignore[arg-type]
    entrypoint.start()
    entrypoint.stop()
    entrypoint.say_goodbye(1.0)
    assert entrypoint.claim(service.settings) is None
    assert entrypoint.begin(message())
    assert entrypoint.holds(message())
    assert not entrypoint.replies
    assert not service.submitted
    assert not service.spawned


def test_what_it_receives_goes_to_the_workers() -> None:
    """At once."""
    entrypoint, service, received = Entrypoint(ROUTE), FakeService(), message({'id': 1})
    entrypoint.setup(service)  # type: ignore[arg-type]
    entrypoint.receive(received)
    assert service.submitted == [(entrypoint, received)]


def test_its_name_is_its_class_and_target() -> None:
    """Also before it has a route."""
    assert Entrypoint(ROUTE).name == Entrypoint(ROUTE).describe() == 'Entrypoint -> tasks.run'
    assert Entrypoint().name == 'Entrypoint -> no target'


def test_a_payload_is_one_positional_argument() -> None:
    """Unless a subclass maps it otherwise."""
    assert Entrypoint(ROUTE).arguments({'id': 1}) == (({'id': 1},), {})


def test_a_result_is_a_body_in_json() -> None:
    """Unless a subclass encodes it otherwise."""
    assert Entrypoint(ROUTE).encode({'id': 1}) == (b'{"id":1}', 'application/json', 'utf-8')


def test_a_message_can_be_made_of_a_payload() -> None:
    """It is decoded like any other."""
    made = Entrypoint(ROUTE).message({'id': 1}, headers={'tenant': 7})
    assert codecs.decode(made) == {'id': 1}
    assert made.headers == {'tenant': 7}
    assert made.message_id != Entrypoint(ROUTE).message({}).message_id
    assert Entrypoint(ROUTE).message({}, 'row 7').message_id == 'row 7'
    with pytest.raises(PayloadError):
        Entrypoint(ROUTE).message(object())


class Forgetful(Entrypoint):
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ('entrypoint', 'fault'),
    [
        (Entrypoint(), 'wanted a route (route=Route(...)), found None'),
        (Entrypoint('tasks.run'), "wanted a route (route=Route(...)), found 'tasks.run'"),  # type: ignore[arg-type]
        (Entrypoint(Route), 'wanted a route (route=Route(...)), found <class'),  # type: ignore[arg-type]
        (Forgetful(), 'wanted a route (route=Route(...)), found None'),
    ],
    ids=['none', 'a path', 'the class', 'no super().__init__'],
)
def test_a_missing_route_is_a_fault(entrypoint: Entrypoint, fault: str) -> None:
    """Told at start, in one sentence."""
    (only,) = entrypoint.faults(None)
    assert only.startswith(fault)


def test_the_faults_of_its_route_are_its_own() -> None:
    """And a good one has none."""
    assert list(Entrypoint(Route('run')).faults(None)) == list(Route('run').faults())
    assert not list(Entrypoint(ROUTE).faults(None))


@pytest.mark.parametrize(
    ('outcome', 'settlement'),
    [
        (SUCCEEDED, Settlement.ACK),
        (FAILED, Settlement.DEAD_LETTER),
        (NOT_RUN, Settlement.GIVE_BACK),
    ],
)
def test_an_outcome_is_settled_as_the_route_decides(outcome: Outcome, settlement: Settlement) -> None:
    """`settle` is told of message, settlement and outcome, once."""
    entrypoint, received = Recorder(ROUTE), message()
    entrypoint.finished(received, outcome)
    assert entrypoint.settled == [(received, settlement, outcome)]


@pytest.mark.parametrize(
    ('on_error', 'kept', 'word'),
    [
        ('drop', True, 'dropped'),
        ('dead_letter', True, 'dead letter'),
        ('dead_letter', False, 'not kept'),
    ],
)
def test_a_failure_is_logged_with_its_traceback(
    on_error: str, kept: bool, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With what became of the message; success and give-back are silent."""
    entrypoint = Recorder(Route('tasks.run', on_error=on_error))
    entrypoint.dead_letters = kept
    entrypoint.finished(message(), SUCCEEDED)
    entrypoint.finished(message(), NOT_RUN)
    assert not caplog.records
    entrypoint.finished(message(), FAILED)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    told = f'failed (target error), attempt 1, {word}: builtins.ValueError: v\nTraceback ...'
    assert told in record.getMessage()


@pytest.mark.parametrize(
    ('on_error', 'settlement'), [('drop', Settlement.ACK), ('dead_letter', Settlement.DEAD_LETTER)]
)
def test_what_is_to_be_run_no_more_gets_what_its_route_says(on_error: str, settlement: Settlement) -> None:
    """It is not tried again, whatever the policy, and settled like any other."""
    entrypoint, received = Recorder(Route('tasks.run', retry=Retry(9), on_error=on_error)), message()
    failure = Failure(Reason.WORKER_LOST, 'worker lost: 3 times')
    entrypoint.lose(received, failure)
    assert entrypoint.settled == [(received, settlement, Outcome.failed(failure))]


def test_a_failure_that_is_expected_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Without a traceback, and not as an error: it is its sender's."""

    class Patient(Recorder):
        def expects(self, failure: Failure) -> bool:
            return failure.reason == 'target error'

    caplog.set_level(logging.INFO)
    entrypoint = Patient(ROUTE)
    entrypoint.finished(message(), FAILED)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert 'failed (target error), not kept: builtins.ValueError: v' in record.getMessage()
    assert 'Traceback' not in record.getMessage()
    assert len(entrypoint.settled) == 1


def test_a_retry_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """With the delay rounded up, without its traceback; `settle` is told what the route has decided."""
    entrypoint = Recorder(Route('tasks.run', retry=Retry(2, initial_delay_s=3, jitter=0)))
    entrypoint.retries = True
    entrypoint.finished(message(), FAILED)
    ((_, settlement, outcome),) = entrypoint.settled
    assert settlement is Settlement.RETRY
    assert outcome.failure is not None
    assert outcome.failure.delay_s == 3
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    told = 'failed (target error), attempt 1, again in 5 s: builtins.ValueError: v'
    assert record.getMessage().endswith(told)


class OwnRetry(Retry):
    """A policy whose delay is the user's own."""

    def delay_s(self, count: int, chance: Any = None) -> Any:
        return {1: 7 * 86_400, 2: float('nan')}[count]


@pytest.mark.parametrize('failures', [0, 1, 2])
def test_what_cannot_be_decided_is_dead_lettered(failures: int, caplog: pytest.LogCaptureFixture) -> None:
    """A delay that is none, or a policy that raises: unsettled the message would hold its place for ever."""
    entrypoint = Recorder(Route('tasks.run', retry=OwnRetry(9)))
    entrypoint.retries = True
    entrypoint.finished(message(headers={'greenmicro.attempt': failures}), FAILED)
    ((_, settlement, outcome),) = entrypoint.settled
    assert settlement is Settlement.DEAD_LETTER
    assert outcome.failure is not None
    told = 'KeyError: 3' if failures == 2 else 'ValueError: the delay of a retry: wanted 0 to 86400 seconds'
    assert told in outcome.failure.error
    assert 'what becomes of <Message' in caplog.text
    assert told in caplog.text


def test_retries_where_nothing_can_come_again_are_a_fault() -> None:
    """A timer's next tick comes anyway; one attempt alone is none."""
    assert list(TimeEntrypoint(1.0, Route('tasks.run', retry=Retry())).faults(None)) == [
        'retry: a TimeEntrypoint cannot have a message come again'
    ]
    assert not list(TimeEntrypoint(1.0, Route('tasks.run', retry=Retry(1))).faults(None))


def test_a_settle_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It must not end the greenlet that ran the message, nor keep the others from being given back."""

    class Broken(Entrypoint):
        def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
            raise OSError('no route to host')

    entrypoint = Broken(ROUTE)
    entrypoint.setup(FakeService())  # type: ignore[arg-type]
    entrypoint.finished(message(), SUCCEEDED)
    assert 'Broken -> tasks.run: <Message without id' in caplog.text
    assert 'no route to host' in caplog.text


def ticking(interval_s: Any = 5.0, **options: Any) -> tuple[TimeEntrypoint, FakeService]:
    entrypoint, service = TimeEntrypoint(interval_s, ROUTE, **options), FakeService()
    entrypoint.setup(service)  # type: ignore[arg-type]
    entrypoint.start()
    return entrypoint, service


def payloads(service: FakeService) -> list[Any]:
    return [codecs.decode(received) for _, received in service.submitted]


@pytest.mark.parametrize('eager', [False, True])
def test_a_timer_asks_the_service_for_a_clock(eager: bool) -> None:
    """At its interval; it knows no clock itself."""
    entrypoint, service = ticking(eager=eager)
    assert service.clocks == [(5.0, entrypoint.tick, eager)]
    assert entrypoint.describe() == 'every 5 s -> tasks.run'


def test_each_tick_runs_the_route() -> None:
    """It tells its number, counted from 1."""
    entrypoint, service = ticking()
    for _ in range(2):
        entrypoint.tick()
        entrypoint.finished(service.submitted[-1][1], SUCCEEDED)
    assert payloads(service) == [{'tick': 1, 'skipped': 0}, {'tick': 2, 'skipped': 0}]


def test_a_tick_during_a_run_is_skipped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """The next run is told how many were."""
    entrypoint, service = ticking()
    for _ in range(3):
        entrypoint.tick()
    assert payloads(service) == [{'tick': 1, 'skipped': 0}]
    entrypoint.finished(service.submitted[0][1], SUCCEEDED)
    entrypoint.tick()
    assert payloads(service)[1:] == [{'tick': 4, 'skipped': 2}]
    told = [record.getMessage().partition(': ')[2] for record in caplog.records]
    assert told == ['tick 2 skipped, the last one still runs', 'running again, 2 skipped, 2 in all']


@pytest.mark.parametrize('outcome', [FAILED, NOT_RUN])
def test_the_next_tick_runs_whatever_became_of_the_last(outcome: Outcome) -> None:
    """A failed run does not end the ticking."""
    entrypoint, service = ticking()
    entrypoint.tick()
    entrypoint.finished(service.submitted[0][1], outcome)
    entrypoint.tick()
    assert len(service.submitted) == 2


@pytest.mark.parametrize(
    'interval_s',
    [0, -1, 0.0, 1e-9, 5e-324, float('nan'), float('inf'), 10**400, 1e300, True, '5', None, 1j, [5]],
    ids=repr,
)
def test_a_bad_interval_is_a_fault(interval_s: Any) -> None:
    """No number of seconds, none above 0, or one that a clock cannot count."""
    (fault,) = TimeEntrypoint(interval_s, ROUTE).faults(None)
    assert fault == f'interval_s: wanted 0.001 to 31622400 seconds, found {interval_s!r}'


@pytest.mark.parametrize('interval_s', [0.001, 1, 86_400, 31_622_400.0])
def test_a_good_interval_is_none(interval_s: float) -> None:
    """From a millisecond to a year."""
    assert not list(TimeEntrypoint(interval_s, ROUTE).faults(None))
    assert len(list(TimeEntrypoint(interval_s).faults(None))) == 1
