"""Injection: dependencies are entered in order, left in reverse, and told how the target ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.injections import injection_of
from greenmicro.messages import NOT_RUN, Message, Reason
from greenmicro.settings import Settings
from greenmicro.workers import Interrupted
from tests.fakes import message, worker
from tests.worker_parts import EVERY_KIND, Swallowing, Traced, error_of, raising, reason_of


def test_those_that_were_entered_are_left_when_a_later_one_fails() -> None:
    """They are told of it; the target is not called."""
    log: list[Any] = []
    dependencies = {'a': Traced('a', log), 'b': Traced('b', log, enter=OSError('no')), 'c': Traced('c', log)}
    outcome = worker(log.append, dependencies=dependencies).run(message())
    assert log == ['enter a', 'enter b', 'a told OSError']
    assert (reason_of(outcome), error_of(outcome)) == (Reason.DEPENDENCY, 'OSError: no')


def test_an_error_on_leaving_fails_the_message() -> None:
    """The target has succeeded, and what entered before is told of the failure."""
    log: list[Any] = []
    dependencies = {'a': Traced('a', log), 'b': Traced('b', log, leave=OSError('commit'))}
    outcome = worker(lambda payload, a, b: None, dependencies=dependencies).run(message())
    assert log == ['enter a', 'enter b', 'leave b', 'a told OSError']
    assert (reason_of(outcome), error_of(outcome)) == (Reason.DEPENDENCY, 'OSError: commit')


def test_the_targets_own_error_stays_the_reason_if_leaving_fails_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The other one is logged with its traceback; both dependencies hear of the target's."""
    log: list[Any] = []
    dependencies = {'a': Traced('a', log), 'b': Traced('b', log, leave=OSError('rollback'))}
    outcome = worker(raising(ValueError('own')), dependencies=dependencies).run(message())
    assert log == ['enter a', 'enter b', 'b told ValueError', 'a told ValueError']
    assert (reason_of(outcome), error_of(outcome)) == (Reason.TARGET, 'ValueError: own')
    assert 'OSError: rollback' in caplog.text


def test_a_failure_on_leaving_that_is_no_stop_iteration_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A RuntimeError of the dependency's own is not taken for the target's StopIteration passed on."""
    dependencies = {'a': Traced('a', [], leave=RuntimeError('own fault'))}
    outcome = worker(raising(StopIteration()), dependencies=dependencies).run(message())
    assert reason_of(outcome) == Reason.TARGET
    assert 'own fault' in caplog.text


@pytest.mark.parametrize('error', EVERY_KIND, ids=repr)
def test_a_dependency_cannot_swallow_the_targets_exception(error: BaseException) -> None:
    """What it enters before hears of it all the same, and the message has failed."""
    log: list[Any] = []
    dependencies = {'a': Traced('a', log), 'b': Swallowing()}
    outcome = worker(raising(error), dependencies=dependencies).run(message())
    assert log == ['enter a', f'a told {type(error).__name__}']
    assert reason_of(outcome) == Reason.TARGET


def test_a_dependency_cannot_swallow_an_interruption() -> None:
    """It is still given back."""
    assert worker(raising(Interrupted()), dependencies={'a': Swallowing()}).run(message()) is NOT_RUN


class Unyielding(Dependency):
    def provide(self, context: WorkerContext) -> Iterator[Any]:
        return
        yield


class Twice(Dependency):
    """Yields twice; `after` is what its clean-up raises."""

    def __init__(self, log: list[Any], after: Any = None) -> None:
        self.log, self.after = log, after

    def provide(self, context: WorkerContext) -> Iterator[Any]:
        try:
            yield 1
        except ValueError:
            pass
        try:
            yield 2
        finally:
            self.log.append('closed')
            if self.after is not None:
                raise self.after


def test_provide_without_a_yield_fails_the_message(caplog: pytest.LogCaptureFixture) -> None:
    """The sentence names the dependency; the ones before are told, and nothing else is said to fail."""
    log: list[Any] = []
    outcome = worker(log.append, dependencies={'a': Traced('a', log), 'b': Unyielding()}).run(message())
    assert log == ['enter a', 'a told TypeError']
    assert reason_of(outcome) == Reason.DEPENDENCY
    assert error_of(outcome) == "TypeError: provide() of dependency 'b' ended without a yield"
    assert not caplog.records


def test_provide_with_a_second_yield_fails_the_message() -> None:
    """The generator is closed at once, not whenever it is collected."""
    log: list[Any] = []
    outcome = worker(lambda payload, a: None, dependencies={'a': Twice(log)}).run(message())
    assert reason_of(outcome) == Reason.DEPENDENCY
    assert error_of(outcome) == 'TypeError: provide() has a second yield; it must yield once'
    assert log == ['closed']


def test_a_second_yield_whose_closing_fails_fails_the_message() -> None:
    """With what it raised."""
    outcome = worker(lambda payload, a: None, dependencies={'a': Twice([], OSError('late'))}).run(message())
    assert error_of(outcome) == 'OSError: late'


def test_a_second_yield_after_the_targets_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The target's error stays the reason."""
    log: list[Any] = []
    outcome = worker(raising(ValueError('own')), dependencies={'a': Twice(log)}).run(message())
    assert (reason_of(outcome), error_of(outcome)) == (Reason.TARGET, 'ValueError: own')
    assert log == ['closed']
    assert 'second yield' in caplog.text


def test_what_is_no_generator_fails_the_message() -> None:
    """A provide that dodges the check at start, by returning a list."""

    class Listing(Dependency):
        def provide(self, context: WorkerContext) -> Iterator[Any]:
            return [1]  # type: ignore[return-value]

    outcome = worker(lambda payload, a: None, dependencies={'a': Listing()}).run(message())
    assert reason_of(outcome) == Reason.DEPENDENCY


def test_a_message_without_dependencies_gets_a_dict_of_its_own() -> None:
    """What a worker puts into it does not reach another message."""
    settings = Settings.load({'AMQP_URI': 'memory://', 'SERVICE_NAME': 'service'}, {})
    context = WorkerContext(Message(b''), 'entrypoint', settings, lambda publication: None)
    with injection_of({}, context) as first:
        first['mine'] = 1
    with injection_of({}, context) as second:
        assert second == {}
