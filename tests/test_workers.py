"""Worker: each step, each way to fail, and the dependencies around the call."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
from gevent import GreenletExit

from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.errors import ConfigError, TargetTimeoutError
from greenmicro.limits import overrun
from greenmicro.messages import NOT_RUN, SUCCEEDED, Message, Outcome, Reason
from greenmicro.routes import Route
from greenmicro.signals import RetryLater
from greenmicro.translators import MessageTranslator
from greenmicro.workers import Interrupted, Worker
from tests import fakes
from tests.fakes import OwnLimit, message, worker

EVERY_KIND = [
    ValueError('v'),
    BaseException('b'),
    SystemExit(1),
    KeyboardInterrupt(),
    GreenletExit(),
    GeneratorExit(),
    StopIteration(3),
    StopAsyncIteration(),
    RecursionError(),
    TargetTimeoutError(),
    AssertionError(),
]


def raising(error: BaseException) -> Callable[..., Any]:
    def target(payload: Any, **dependencies: Any) -> Any:
        raise error

    return target


def error_of(outcome: Outcome) -> str:
    assert outcome.failure is not None
    assert outcome.ran
    return outcome.failure.error


def reason_of(outcome: Outcome) -> str:
    assert outcome.failure is not None
    return outcome.failure.reason


class Traced(Dependency):
    """Notes what happens to it; raises where it is told to."""

    def __init__(self, name: str, log: list[Any], enter: Any = None, leave: Any = None) -> None:
        self.name, self.log, self.enter, self.leave = name, log, enter, leave

    def provide(self, context: WorkerContext) -> Iterator[Any]:
        self.log.append(f'enter {self.name}')
        if self.enter is not None:
            raise self.enter
        try:
            yield f'value of {self.name}'
        except BaseException as error:
            self.log.append(f'{self.name} told {type(error).__name__}')
            if self.leave is not None:
                raise self.leave from None
            raise
        self.log.append(f'leave {self.name}')
        if self.leave is not None:
            raise self.leave


class Swallowing(Dependency):
    """Tries to swallow the target's exception."""

    def provide(self, context: WorkerContext) -> Iterator[Any]:
        try:
            yield None
        except BaseException:
            pass


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


# Entering and leaving.


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


# Custom workers, step by step.


def test_decode_can_be_changed() -> None:
    """For a format of one's own."""

    class Plain(Worker):
        def decode(self, message: Message) -> Any:
            return message.body.decode().split(',')

    got: list[Any] = []
    assert worker(got.append, worker_class=Plain).run(Message(b'a,b')) is SUCCEEDED
    assert got == [['a', 'b']]


def test_translate_can_be_changed() -> None:
    """It stands around the route's translators."""

    class Wrapped(Worker):
        def translate(self, payload: Any, context: WorkerContext) -> Any:
            return ['translated', super().translate(payload, context)]

    got: list[Any] = []
    assert worker(got.append, worker_class=Wrapped).run(message(1)) is SUCCEEDED
    assert got == [['translated', 1]]


def test_inject_can_be_changed() -> None:
    """With values that no dependency makes."""

    class Stocked(Worker):
        def inject(self, context: WorkerContext) -> AbstractContextManager[dict[str, Any]]:
            return nullcontext({'extra': context.attempt})

    got: list[Any] = []
    running = worker(lambda payload, extra: got.append(extra), worker_class=Stocked)
    assert running.run(message()) is SUCCEEDED
    assert got == [1]


@pytest.mark.parametrize('error', EVERY_KIND[:3], ids=repr)
def test_an_inject_that_swallows_does_not_make_a_success(error: BaseException) -> None:
    """A failure stays one; an interruption stays one too."""

    class Suppressing(Worker):
        @contextmanager
        def inject(self, context: WorkerContext) -> Iterator[dict[str, Any]]:
            try:
                yield {}
            except BaseException:
                pass

    outcome = worker(raising(error), worker_class=Suppressing).run(message())
    assert reason_of(outcome) == Reason.TARGET
    assert type(error).__name__ in error_of(outcome)
    assert worker(raising(Interrupted()), worker_class=Suppressing).run(message()) is NOT_RUN


def test_an_inject_that_raises_fails_the_message() -> None:
    """Before the target, with the reason `dependency error`."""

    class Broken(Worker):
        def inject(self, context: WorkerContext) -> AbstractContextManager[dict[str, Any]]:
            raise LookupError('no stock')

    assert reason_of(worker(lambda payload: None, worker_class=Broken).run(message())) == Reason.DEPENDENCY


def test_call_can_be_changed() -> None:
    """It may call twice, or not at all."""

    class Twofold(Worker):
        def call(self, payload: Any, dependencies: dict[str, Any]) -> Any:
            return [super().call(payload, dependencies), super().call(payload, dependencies)]

    outcome = worker(lambda payload: payload, worker_class=Twofold, replies=True).run(message(1))
    assert outcome.result == (b'[1,1]', 'application/json', 'utf-8')


def test_run_can_be_changed() -> None:
    """Around all steps."""
    seen: list[Outcome] = []

    class Counted(Worker):
        def run(self, message: Message) -> Outcome:
            seen.append(super().run(message))
            return seen[-1]

    assert worker(lambda payload: None, worker_class=Counted).run(message()) is SUCCEEDED
    assert seen == [SUCCEEDED]


# Once per process.


class Pooled(Dependency):
    """Notes its set-up and tear-down; raises where it is told to."""

    def __init__(self, name: str, log: list[str], setup: Any = None, teardown: Any = None) -> None:
        self.name, self.log, self.setup, self.teardown = name, log, setup, teardown

    def setup_worker(self) -> None:
        self.log.append(f'set up {self.name}')
        if self.setup is not None:
            raise self.setup

    def teardown_worker(self) -> None:
        self.log.append(f'tear down {self.name}')
        if self.teardown is not None:
            raise self.teardown

    def provide(self, context: WorkerContext) -> Iterator[Any]:
        yield self


def test_dependencies_are_set_up_in_order_and_torn_down_in_reverse() -> None:
    """Once each, however often a worker is released."""
    log: list[str] = []
    running = worker(lambda payload: None, dependencies={'a': Pooled('a', log), 'b': Pooled('b', log)})
    running.release()
    running.release()
    assert log == ['set up a', 'set up b', 'tear down b', 'tear down a']


def test_a_dependency_of_two_routes_is_set_up_once() -> None:
    """Once per worker process, whoever shares the instance."""
    log: list[str] = []
    shared = Pooled('shared', log)
    place = fakes.place()
    with fakes.tasks(target=len):
        routes = [
            Route('fake_tasks.target', {'a': shared, 'b': shared}),
            Route('fake_tasks.target', {'a': shared}),
        ]
        workers = [route.worker_for('e', place, None, False) for route in routes]
        for one in workers:
            one.prepare()
    for one in workers:
        one.release()
    assert log == ['set up shared', 'tear down shared']


def test_a_set_up_that_fails_stops_the_start() -> None:
    """The sentence names dependency, target and error; only what was set up is torn down."""
    log: list[str] = []
    dependencies = {'a': Pooled('a', log), 'b': Pooled('b', log, OSError('no disk')), 'c': Pooled('c', log)}
    unready = Route('fake_tasks.target', dependencies).worker_for('e', fakes.place(), None, False)
    with fakes.tasks(target=len), pytest.raises(ConfigError) as caught:
        unready.prepare()
    assert caught.value.faults == (
        "dependency 'b' of fake_tasks.target: setup_worker failed with OSError: no disk",
    )
    unready.release()
    assert log == ['set up a', 'set up b', 'tear down a']


def test_a_target_that_does_not_resolve_sets_nothing_up() -> None:
    """Nor is anything torn down then."""
    log: list[str] = []
    unready = Route('fake_tasks.gone', {'a': Pooled('a', log)}).worker_for('e', fakes.place(), None, False)
    with fakes.tasks(target=len), pytest.raises(ConfigError, match='gone'):
        unready.prepare()
    unready.release()
    assert not log


def test_a_tear_down_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The others are torn down all the same."""
    log: list[str] = []
    dependencies = {'a': Pooled('a', log), 'b': Pooled('b', log, teardown=OSError('stuck'))}
    with caplog.at_level(logging.ERROR):
        worker(lambda payload: None, dependencies=dependencies).release()
    assert log == ['set up a', 'set up b', 'tear down b', 'tear down a']
    assert "dependency 'b' of fake_tasks.target: teardown_worker failed" in caplog.text
