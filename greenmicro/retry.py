"""Retry: how often, after how long, and after which errors a failed message is tried again."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from greenmicro import targets
from greenmicro.delays import LONGEST_S, delay_fault
from greenmicro.errors import ConfigError
from greenmicro.messages import MOST_ATTEMPTS

#: An exception class, or its dotted name; builtin ones go without a dot.
ErrorClass = type[BaseException] | str


@dataclass(frozen=True)
class Retry:
    """A policy: what failed is tried again after a delay, until it succeeds or has had its attempts.

    The n-th delay is `initial_delay_s * factor ** (n - 1)`, at most `max_delay_s`, made shorter or longer
    at random by up to the part `jitter` of itself, then rounded up to a step of 0.1, 0.2, 0.5, 1, 2, 5, 10,
    20, 30 s, 1, 2, 5, 10, 20, 30 min, 1, 2, 4, 8, 12, 24 h. Meanwhile the message waits in the broker.

    Attributes:
        max_attempts: How often a message is run at most, the first time included; 1 for no retries.
        initial_delay_s: The first delay, in seconds.
        factor: By how much each delay is longer than the one before; 1 for the same.
        max_delay_s: The longest delay, in seconds, at most a day.
        jitter: From 0 to 1.
        on: The errors to try again after, subclasses included: exception classes, or dotted names, which
            are imported only where the worker runs.
        give_up_on: Those of them to dead-letter at once.

    Example:
        >>> Retry(max_attempts=8, on=(OSError, 'requests.RequestException'), give_up_on=(PermissionError,))
    """

    max_attempts: int = 5
    initial_delay_s: float = 1.0
    factor: float = 2.0
    max_delay_s: float = 600.0
    jitter: float = 0.5
    on: Sequence[ErrorClass] = (BaseException,)
    give_up_on: Sequence[ErrorClass] = ()

    def faults(self) -> Iterator[str]:
        """Yield a sentence for everything about this policy that makes no sense; nothing is imported."""
        if not (type(self.max_attempts) is int and 1 <= self.max_attempts <= MOST_ATTEMPTS):
            yield f'max_attempts: wanted a whole number, 1 to {MOST_ATTEMPTS}, found {self.max_attempts!r}'
        delays = [('initial_delay_s', self.initial_delay_s), ('max_delay_s', self.max_delay_s)]
        found = [fault for name, value in delays if (fault := delay_fault(name, value))]
        yield from found
        if not found and self.max_delay_s < self.initial_delay_s:
            yield (
                f'max_delay_s: wanted at least initial_delay_s, {self.initial_delay_s!r}, '
                f'found {self.max_delay_s!r}'
            )
        if not (_is_number(self.factor) and 1 <= self.factor < math.inf):
            yield f'factor: wanted a number, at least 1, found {self.factor!r}'
        if not (_is_number(self.jitter) and 0 <= self.jitter <= 1):
            yield f'jitter: wanted a number, 0 to 1, found {self.jitter!r}'
        yield from _class_faults('on', self.on)
        yield from _class_faults('give_up_on', self.give_up_on)

    def covers(self, lineage: Collection[str]) -> bool:
        """Say whether an error is one to try again after.

        Args:
            lineage: The dotted names of its class and its bases; none where a process or its pipe failed.
        """
        names = {name_of(BaseException), *lineage}
        return any(name_of(one) in names for one in self.on) and not any(
            name_of(one) in names for one in self.give_up_on
        )

    def delay_s(self, count: int, chance: Callable[[], float] = random.random) -> float:
        """Return how long to wait, in seconds, before it is rounded up to a step.

        Args:
            count: How many times the message has failed, at least once.
            chance: From 0 to 1 at random.
        """
        try:
            delay = min(self.initial_delay_s * self.factor ** (count - 1), self.max_delay_s)
        except OverflowError:
            delay = self.max_delay_s
        return min(delay * (1 + self.jitter * (2 * chance() - 1)), LONGEST_S)

    def classes(self) -> Mapping[str, type[BaseException]]:
        """Import what is given by name, and return all error classes by the names they go by here.

        Raises:
            ConfigError: A name leads to nothing, or to something else; all that were found.

        Runs where the worker runs, as only there the names need to be importable.
        """
        found: dict[str, type[BaseException]] = {}
        faults: list[str] = []
        for one in (*self.on, *self.give_up_on):
            try:
                found[name_of(one)] = _class_of(one)
            except ConfigError as error:
                faults += error.faults
        if faults:
            raise ConfigError(*faults)
        return found


def name_of(kind: ErrorClass) -> str:
    """Return the dotted name of an error class, given as such or by name."""
    if isinstance(kind, str):
        return kind if '.' in kind else f'builtins.{kind}'
    return f'{kind.__module__}.{kind.__qualname__}'


def _class_of(kind: ErrorClass) -> type[BaseException]:
    if not isinstance(kind, str):
        return kind
    found = targets.find('retry: error class', name_of(kind))
    if isinstance(found, type) and issubclass(found, BaseException):
        return found
    raise ConfigError(f'retry: {kind!r} is of type {type(found).__name__}, and no exception class')


def _class_faults(name: str, given: Any) -> Iterator[str]:
    if isinstance(given, (str, type)):
        shown = repr(given) if isinstance(given, str) else given.__name__
        yield f'{name}: wanted a tuple of exception classes, found one alone; write ({shown},)'
    elif not isinstance(given, Sequence):
        yield f'{name}: wanted a tuple of exception classes or their dotted names, found {given!r}'
    else:
        for one in given:
            is_class = isinstance(one, type) and issubclass(one, BaseException)
            is_name = isinstance(one, str) and all(part.isidentifier() for part in one.split('.'))
            if not (is_class or is_name):
                yield f'{name}: wanted an exception class or its dotted name, found {one!r}'


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
