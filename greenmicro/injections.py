"""Injection: the dependencies of one message, entered before its target is called and left after it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from greenmicro.dependencies import Dependency, WorkerContext

logger = logging.getLogger(__name__)


def injection_of(
    dependencies: Mapping[str, Dependency], context: WorkerContext
) -> AbstractContextManager[dict[str, Any]]:
    """Return what enters a route's dependencies and leaves them; its value maps their names to values."""
    return Injection(dependencies, context) if dependencies else NOTHING


class Injection:
    """The dependencies of one message: entered in order, left in the opposite order.

    Args:
        dependencies: Name to dependency, in the order of the route.
        context: Handed to each `provide`.
    """

    __slots__ = ('_context', '_dependencies', '_entered')

    def __init__(self, dependencies: Mapping[str, Dependency], context: WorkerContext) -> None:
        self._dependencies = dependencies
        self._context = context
        self._entered: list[Iterator[Any]] = []

    def __enter__(self) -> dict[str, Any]:
        values = {}
        try:
            for name, dependency in self._dependencies.items():
                values[name] = self._enter(name, dependency)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return values

    def _enter(self, name: str, dependency: Dependency) -> Any:
        provided = dependency.provide(self._context)
        try:
            value = next(provided)
        except StopIteration:
            raise TypeError(f'provide() of dependency {name!r} ended without a yield') from None
        self._entered.append(provided)
        return value

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for provided in reversed(self._entered):
            error = _leave(provided, error)
        if error is not None and kind is None:
            raise error


class NoInjection:
    """What a route without dependencies enters and leaves; one for all messages, since it keeps nothing."""

    def __enter__(self) -> dict[str, Any]:
        return {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


NOTHING = NoInjection()


def _leave(provided: Iterator[Any], error: BaseException | None) -> BaseException | None:
    """Leave one dependency; return the error that the ones entered before it are to be told."""
    raised = _told(provided, error)
    if error is None or raised is None or raised is error:
        return error or raised
    if isinstance(error, StopIteration) and raised.__cause__ is error:
        return error  # a generator cannot pass one on as it is (PEP 479)
    # The target's own error is what the message failed of; this one is only logged.
    logger.error('a dependency failed while it was left after an error', exc_info=raised)
    return error


def _told(provided: Any, error: BaseException | None) -> BaseException | None:
    """Tell a dependency how the target ended; return what it raises."""
    trace = error.__traceback__ if error is not None else None
    try:
        if error is None:
            next(provided)
        else:
            provided.throw(error)
        provided.close()
    except StopIteration:
        return None
    except BaseException as raised:
        return raised
    finally:
        if error is not None:
            # Without our own frames, which hold the error: it would keep itself alive, and the payload.
            error.__traceback__ = trace
    return TypeError('provide() has a second yield; it must yield once')
