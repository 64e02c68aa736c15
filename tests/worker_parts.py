"""What the tests of workers share: errors of every kind, and dependencies that note what they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gevent import GreenletExit

from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.errors import TargetTimeoutError
from greenmicro.messages import Outcome

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
