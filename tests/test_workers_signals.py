"""Worker: what it makes of RetryLater, Reject, and of errors that retries name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from greenmicro import Reject, RetryLater
from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.errors import ConfigError
from greenmicro.messages import Failure, Outcome
from greenmicro.retry import Retry
from greenmicro.routes import Route
from greenmicro.translators import MessageTranslator
from greenmicro.workers import Worker
from tests import fakes
from tests.fakes import message, worker


class Throttled(RetryLater):
    """A signal of the user's own."""


class Raising(MessageTranslator):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def translate(self, payload: Any, context: WorkerContext) -> Any:
        raise self.error


class Broken(Dependency):
    def __init__(self, error: Exception, late: bool) -> None:
        self.error, self.late = error, late

    def provide(self, context: WorkerContext) -> Iterator[Any]:
        if self.late:
            yield
        raise self.error
        yield


class Deciding(Worker):
    def decode(self, message: Any) -> Any:
        raise Reject('not for us')


def nothing(payload: Any, **dependencies: Any) -> None:
    pass


def raises(error: BaseException) -> Any:
    def target(payload: Any) -> None:
        raise error

    return target


def failure_of(outcome: Outcome) -> Failure:
    assert outcome.failure is not None
    return outcome.failure


@pytest.mark.parametrize('signal', [RetryLater(7), Throttled(7)], ids=repr)
@pytest.mark.parametrize('where', ['target', 'translator', 'entering', 'leaving'])
def test_retry_later_says_when_from_wherever_it_is_raised(signal: RetryLater, where: str) -> None:
    """The failure has its delay, in words as well."""
    built = {
        'target': worker(raises(signal)),
        'translator': worker(nothing, translators=[Raising(signal)]),
        'entering': worker(nothing, dependencies={'broken': Broken(signal, late=False)}),
        'leaving': worker(nothing, dependencies={'broken': Broken(signal, late=True)}),
    }[where]
    failure = failure_of(built.run(message()))
    assert (failure.reason, failure.error, failure.delay_s) == ('retry later', 'RetryLater(7)', 7.0)
    assert 'RetryLater(7)' in failure.traceback


def test_reject_says_why() -> None:
    """In the target's words; and it may come from a step that the user has changed."""
    failure = failure_of(worker(raises(Reject('no such customer'))).run(message()))
    assert (failure.reason, failure.error, failure.delay_s) == ('rejected', 'no such customer', None)
    decided = failure_of(worker(nothing, worker_class=Deciding).run(message()))
    assert (decided.reason, decided.error) == ('rejected', 'not for us')


@pytest.fixture
def facade() -> Iterator[Any]:
    """A library whose public name of an error is not that of the module that has it."""
    module: Any = ModuleType('gm_library')
    module.PublicError = type('PublicError', (OSError,), {'__module__': 'gm_library._inner'})
    sys.modules['gm_library'] = module
    yield module
    del sys.modules['gm_library']


def test_an_error_goes_by_the_names_that_retries_give_it(facade: Any) -> None:
    """Beside its own, as whoever decides has names only; subclasses too."""
    policy = Retry(on=('gm_library.PublicError', 'KeyError'))
    child = type('Child', (facade.PublicError,), {})
    lineage = failure_of(worker(raises(child()), retry=policy).run(message())).lineage
    assert 'gm_library.PublicError' in lineage
    assert 'gm_library._inner.PublicError' in lineage
    assert 'builtins.KeyError' not in lineage
    assert len(lineage) == len(set(lineage))
    assert 'gm_library.PublicError' not in failure_of(worker(raises(child())).run(message())).lineage


def test_the_names_of_the_services_retries_count_too(facade: Any) -> None:
    """Where the route has none of its own."""
    place = fakes.place(RETRY={'on': ['gm_library.PublicError']})
    with fakes.tasks(target=raises(facade.PublicError())) as module:
        running = Route(f'{module}.target').worker_for('the entrypoint', place, None, False)
        running.prepare()
    assert 'gm_library.PublicError' in failure_of(running.run(message())).lineage


def test_a_name_that_does_not_resolve_stops_the_start() -> None:
    """It says which."""
    with pytest.raises(ConfigError, match=r"error class 'builtins\.ValueEror'.*did you mean 'ValueError'"):
        worker(nothing, retry=Retry(on=('ValueEror',)))
