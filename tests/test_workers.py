"""Worker: each step, each way to fail, and the dependencies around the call."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.errors import TargetTimeoutError
from greenmicro.limits import overrun
from greenmicro.messages import NOT_RUN, SUCCEEDED, Message, Reason
from greenmicro.signals import RetryLater
from greenmicro.translators import MessageTranslator
from greenmicro.workers import Interrupted
from tests.fakes import OwnLimit, message, worker
from tests.worker_parts import EVERY_KIND, Swallowing, Traced, error_of, raising, reason_of

# The straight way.


def test_a_target_gets_the_payload_and_its_dependencies() -> None:
    """`target(payload, **dependencies)`; its result is dropped where nobody waits for it."""
    got: list[Any] = []

    def target(payload: Any, first: Any, second: Any) -> object:
        got.append((payload, first, second))
        return object()

    log: list[Any] = []
    running = worker(target, dependencies={'first': Traced('a', log), 'second': Traced('b', log)})
    assert running.run(message({'id': 1})) is SUCCEEDED
    assert got == [({'id': 1}, 'value of a', 'value of b')]
    assert log == ['enter a', 'enter b', 'leave b', 'leave a']


def test_translators_are_chained_in_order() -> None:
    """Each is fed the last one's result; the target gets the last's."""

    class Append(MessageTranslator):
        def __init__(self, letter: str) -> None:
            self.letter = letter

        def translate(self, payload: Any, context: WorkerContext) -> Any:
            assert context.entrypoint == 'the entrypoint'
            return payload + self.letter

    got: list[str] = []
    assert worker(got.append, translators=[Append('b'), Append('c')]).run(message('a')) is SUCCEEDED
    assert got == ['abc']


def test_a_result_is_encoded_where_somebody_waits() -> None:
    """Only for entrypoints that reply."""
    outcome = worker(lambda payload: payload * 2, replies=True).run(message(21))
    assert outcome == (True, None, (b'42', 'application/json', 'utf-8'))


def test_arguments_map_a_payload_to_the_call() -> None:
    """An entrypoint may call the target otherwise; dependencies come on top."""
    got: list[Any] = []

    def target(*args: Any, **kwargs: Any) -> None:
        got.append((args, kwargs))

    running = worker(
        target,
        arguments=lambda payload: (tuple(payload['args']), payload['kwargs']),
        dependencies={'d': Traced('d', [])},
    )
    assert running.run(message({'args': [1, 2], 'kwargs': {'k': 3}})) is SUCCEEDED
    assert got == [((1, 2), {'k': 3, 'd': 'value of d'})]


def test_arguments_that_raise_fail_the_message() -> None:
    """As does a keyword that is a dependency's name too."""
    running = worker(lambda payload: None, arguments=lambda payload: ((), payload['kwargs']))
    assert error_of(running.run(message({}))) == "KeyError: 'kwargs'"
    running = worker(
        lambda **kwargs: None,
        arguments=lambda payload: ((), {'d': 1}),
        dependencies={'d': Traced('d', [])},
    )
    assert 'multiple values' in error_of(running.run(message({})))


# What fails, and with which reason.


@pytest.mark.parametrize('error', EVERY_KIND, ids=repr)
def test_whatever_a_target_raises_is_a_failed_attempt(error: BaseException) -> None:
    """A SystemExit ends no process, a GreenletExit no greenlet: each is an outcome."""
    outcome = worker(raising(error)).run(message())
    assert reason_of(outcome) == Reason.TARGET
    assert type(error).__name__ in error_of(outcome)


class Later(RetryLater):
    """Sets its own delay, or none at all."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


@pytest.mark.parametrize('delay_s', [7 * 86_400, float('nan'), -1, '5', None])
def test_a_retry_later_with_an_impossible_delay_is_an_ordinary_failure(delay_s: Any) -> None:
    """A subclass may set what the constructor refuses; the error says what was wrong."""
    failure = worker(raising(Later(delay_s=delay_s))).run(message()).failure
    assert failure is not None
    assert (failure.reason, failure.delay_s) == (Reason.TARGET, None)
    assert failure.error == f'tests.test_workers.Later: delay_s: wanted 0 to 86400 seconds, found {delay_s!r}'


def test_a_retry_later_without_its_delay_is_an_ordinary_failure() -> None:
    """A subclass whose constructor does not call that of RetryLater; with a delay it is the signal."""
    assert reason_of(worker(raising(Later())).run(message())) == Reason.TARGET
    assert reason_of(worker(raising(Later(delay_s=5))).run(message())) == Reason.RETRY_LATER


@pytest.mark.parametrize('error', EVERY_KIND, ids=repr)
def test_dependencies_are_told_whatever_a_target_raises(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """In the opposite order, each of the same exception, also one that generators cannot pass on."""
    log: list[Any] = []
    dependencies = {'a': Traced('a', log), 'b': Traced('b', log)}
    outcome = worker(raising(error), dependencies=dependencies).run(message())
    name = type(error).__name__
    assert log == ['enter a', 'enter b', f'b told {name}', f'a told {name}']
    assert reason_of(outcome) == Reason.TARGET
    assert name in error_of(outcome)
    assert not caplog.records  # nothing else has failed


@pytest.mark.parametrize(
    ('given', 'reason'),
    [
        (Message(b'{', {'content_type': 'application/json'}), Reason.UNDECODABLE),
        (Message(b'\x80', {'content_type': 'application/x-python-serialize'}), Reason.REFUSED),
        (Message(b'{}'), Reason.REFUSED),
        (Message(b'', unreadable=b'\xff'), Reason.UNREADABLE),
    ],
)
def test_what_cannot_be_read_never_reaches_the_target(given: Message, reason: str) -> None:
    """Bad JSON, a refused or missing content type, unreadable properties."""
    got: list[Any] = []
    assert reason_of(worker(got.append).run(given)) == reason
    assert not got


@pytest.mark.parametrize('error', EVERY_KIND, ids=repr)
def test_a_translator_that_raises_fails_the_message(error: BaseException) -> None:
    """Nothing is injected and nothing called after that."""

    class Refusing(MessageTranslator):
        def translate(self, payload: Any, context: WorkerContext) -> Any:
            raise error

    log: list[Any] = []
    running = worker(log.append, translators=[Refusing()], dependencies={'a': Traced('a', log)})
    assert reason_of(running.run(message())) == Reason.TRANSLATOR
    assert not log


@pytest.mark.parametrize('replied', [object(), {'a': {1}}, (n for n in ''), 'a\ud800'], ids=repr)
def test_a_result_that_cannot_be_encoded_fails_where_somebody_waits(replied: Any) -> None:
    """An event's result is dropped unseen, and does no harm."""
    assert reason_of(worker(lambda payload: replied, replies=True).run(message())) == Reason.RESULT
    assert worker(lambda payload: replied).run(message()) is SUCCEEDED


@pytest.mark.parametrize('where', ['target', 'translator', 'enter', 'leave'])
def test_an_interrupted_message_has_not_run(where: str) -> None:
    """The stop's deadline is no fault of the message, wherever it strikes."""

    class Cut(MessageTranslator):
        def translate(self, payload: Any, context: WorkerContext) -> Any:
            if where == 'translator':
                raise Interrupted
            return payload

    error = Interrupted('deadline')
    at = {where: error} if where in ('enter', 'leave') else {}
    target = raising(error) if where == 'target' else lambda payload, d: None
    running = worker(target, translators=[Cut()], dependencies={'d': Traced('d', [], **at)})
    assert running.run(message()) is NOT_RUN


def expire(payload: Any, **dependencies: Any) -> None:
    """A target whose time is over."""
    raise OwnLimit.current.expire()


def test_a_target_that_runs_too_long_has_failed_and_its_dependencies_are_told() -> None:
    """With a reason of its own, a text that names the limit, and where the target was."""
    log: list[Any] = []
    outcome = worker(expire, timeout_s=0.5, dependencies={'d': Traced('d', log)}).run(message())
    assert reason_of(outcome) == Reason.TIMEOUT
    assert error_of(outcome) == f'{TargetTimeoutError.__module__}.TargetTimeoutError: {overrun(0.5)}'
    assert outcome.failure is not None
    assert 'in expire' in outcome.failure.traceback
    assert outcome.failure.lineage == ('greenmicro.errors.TargetTimeoutError', 'builtins.BaseException')
    assert log == ['enter d', 'd told TargetTimeoutError']


def test_a_target_that_swallows_its_time_out_has_timed_out() -> None:
    """And its dependencies are told of that."""

    def swallow(payload: Any, d: Any) -> str:
        try:
            expire(payload)
        except BaseException:
            pass
        return 'done'

    log: list[Any] = []
    outcome = worker(swallow, timeout_s=0.5, dependencies={'d': Traced('d', log)}).run(message())
    assert reason_of(outcome) == Reason.TIMEOUT
    assert log == ['enter d', 'd told TargetTimeoutError']


def test_the_limit_covers_the_call_only() -> None:
    """Not the translators, nor the dependencies on their way in and out."""
    log: list[bool] = []

    def look(*_: Any) -> None:
        log.append(hasattr(OwnLimit, 'current'))

    class Look(Dependency):
        def provide(self, context: WorkerContext) -> Iterator[Any]:
            yield look()
            look()

    class LookToo(MessageTranslator):
        def translate(self, payload: Any, context: WorkerContext) -> Any:
            return look()

    running = worker(
        lambda payload, d: look(), timeout_s=1, translators=[LookToo()], dependencies={'d': Look()}
    )
    assert running.run(message()) is SUCCEEDED
    assert log == [False, False, True, False]


def test_a_target_may_raise_a_time_out_of_its_own() -> None:
    """It was not interrupted, so that is an error like any other."""
    outcome = worker(raising(TargetTimeoutError('mine')), timeout_s=1).run(message())
    assert reason_of(outcome) == Reason.TARGET


@pytest.mark.parametrize('timeout_s', [None, 1.0])
def test_a_failure_keeps_nothing_alive(timeout_s: float | None) -> None:
    """Payload and exception go with the run, without the garbage collector: a body may be large."""

    class Payload:
        pass

    class Replace(MessageTranslator):
        def translate(self, payload: Any, context: WorkerContext) -> Any:
            made = Payload()
            kept.append(weakref.ref(made))
            return made

    def target(payload: Any, **dependencies: Any) -> None:
        raise ValueError if timeout_s is None else OwnLimit.current.expire()

    kept: list[Any] = []
    dependencies = {'a': Traced('a', []), 'b': Swallowing(), 'c': Traced('c', [])}
    running = worker(target, translators=[Replace()], dependencies=dependencies, timeout_s=timeout_s)
    gc.disable()
    try:
        assert reason_of(running.run(message())) in (Reason.TARGET, Reason.TIMEOUT)
        assert [ref() for ref in kept] == [None]
    finally:
        gc.enable()
