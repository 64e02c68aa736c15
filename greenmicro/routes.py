"""Route: what a message goes through, declared once; it builds the worker and decides the settlement."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import random
from typing import TYPE_CHECKING, Any

from greenmicro import codecs, targets
from greenmicro.dependencies import Dependency
from greenmicro.messages import Failure, Message, Outcome, Reason, Settlement
from greenmicro.retry import Retry
from greenmicro.translators import MessageTranslator
from greenmicro.workers import Arguments, Place, Worker

if TYPE_CHECKING:
    from greenmicro.settings import Settings

#: What holds where nothing says otherwise, for what is tried again without a policy.
DEFAULT_RETRY = Retry()
#: `on_error` to what a message gets that failed for good.
ON_ERROR = {'dead_letter': Settlement.DEAD_LETTER, 'drop': Settlement.ACK}
#: The longest time limit, in seconds, a year: no timer takes much more.
LONGEST_S = 366 * 86_400


@dataclass(frozen=True, eq=False)
class Route:
    """A pipeline that ends in one target function.

    Attributes:
        target: Dotted path `package.module.function`, imported only where the worker runs.
        dependencies: Name to dependency; the target gets each under its name.
        translators: Payload translators, in order.
        worker_class: The `Worker` subclass whose steps are run.
        retry: How often and when a failed message is tried again; None: as the setting RETRY says.
        timeout_s: How long one call of the target may take, in seconds; None for no limit. Decoding, and
            entering and leaving the dependencies, do not count.
        on_error: What a message gets that failed for good: `dead_letter`, to the queue's dead queue, or
            `drop`. Both log it.

    Example:
        >>> Route('tasks.place_order', dependencies={'producer': Producer()}, on_error='drop')
    """

    target: str
    dependencies: Mapping[str, Dependency] = field(default_factory=dict)
    translators: Sequence[MessageTranslator] = ()
    worker_class: type[Worker] = Worker
    # By keyword only, since there will be more of them.
    retry: Retry | None = field(default=None, kw_only=True)
    timeout_s: float | None = field(default=None, kw_only=True)
    on_error: str = field(default='dead_letter', kw_only=True)

    def faults(self) -> Iterator[str]:
        """Yield a sentence for everything about this route that cannot work; nothing is imported."""
        fault = targets.check_path(self.target)
        if fault:
            yield fault
        if isinstance(self.dependencies, Mapping):
            for name, dependency in self.dependencies.items():
                yield from _dependency_faults(name, dependency)
        else:
            yield f'dependencies: wanted a dict of name to dependency, found {_kind(self.dependencies)}'
        if isinstance(self.translators, Sequence) and not isinstance(self.translators, str):
            for translator in self.translators:
                yield from _instance_faults('translator', translator, MessageTranslator)
        else:
            yield f'translators: wanted a list of translators, found {_kind(self.translators)}'
        if not (isinstance(self.worker_class, type) and issubclass(self.worker_class, Worker)):
            yield f'worker_class: wanted a subclass of Worker, found {_kind(self.worker_class)}'
        if isinstance(self.retry, Retry):
            yield from (f'retry: {fault}' for fault in self.retry.faults())
        elif self.retry is not None:
            yield f'retry: wanted a Retry or None, found {_kind(self.retry)}'
        if self.timeout_s is not None and not _is_time(self.timeout_s):
            wanted = f'wanted seconds, more than 0 and at most {LONGEST_S}, or None'
            yield f'timeout_s: {wanted}, found {self.timeout_s!r}'
        if not (isinstance(self.on_error, str) and self.on_error in ON_ERROR):
            yield f"on_error: wanted 'dead_letter' or 'drop', found {self.on_error!r}"

    def worker_for(
        self,
        entrypoint: str,
        place: Place,
        arguments: Arguments | None,
        replies: bool,
        encode: Callable[[Any], Any] = codecs.encode,
    ) -> Worker:
        """Build the worker that serves an entrypoint in this process."""
        return self.worker_class(self, entrypoint, place, arguments, replies, encode)

    def policy(self, settings: Settings) -> Retry | None:
        """Return what holds for messages whose target failed; None: they are not tried again."""
        return settings.retry if self.retry is None else self.retry

    def settlement(self, message: Message, outcome: Outcome, settings: Settings, retries: bool) -> Settlement:
        """Decide what the broker is told of a message; the only place where that is decided.

        Args:
            message: The message, which has its earlier attempts and crashes counted.
            outcome: What became of it in the worker.
            settings: The service's settings.
            retries: Whether its entrypoint can have it come again.
        """
        if not outcome.ran:
            return Settlement.GIVE_BACK
        if outcome.failure is None:
            return Settlement.ACK
        if retries and self._may_try_again(message, outcome.failure, settings):
            return Settlement.RETRY
        return ON_ERROR[self.on_error]

    def delay_s(
        self,
        message: Message,
        failure: Failure,
        settings: Settings,
        chance: Callable[[], float] = random,
    ) -> float:
        """Say after how many seconds a message comes again that is to be retried."""
        if failure.delay_s is not None:
            return failure.delay_s
        count = message.crashes + 1 if failure.reason == Reason.WORKER_LOST else message.attempt
        return (self.policy(settings) or DEFAULT_RETRY).delay_s(count, chance)

    def _may_try_again(self, message: Message, failure: Failure, settings: Settings) -> bool:
        if failure.reason == Reason.WORKER_LOST:
            # Whatever the policy: it may have been killed for its neighbour's memory.
            return message.crashes + 1 < settings.max_crashes
        if failure.reason in Reason.FOR_GOOD:
            return False
        policy = self.policy(settings)
        if failure.reason == Reason.RETRY_LATER:
            return message.attempt < (policy or DEFAULT_RETRY).max_attempts
        return policy is not None and message.attempt < policy.max_attempts and policy.covers(failure.lineage)


def _is_time(value: Any) -> bool:
    # By type: True is an int, and no time.
    return type(value) in {int, float} and 0 < value <= LONGEST_S


def _dependency_faults(name: Any, dependency: Any) -> Iterator[str]:
    if not (isinstance(name, str) and name.isidentifier()):
        yield f'dependency {name!r}: its name has to be an identifier, as the target takes it by keyword'
    yield from _instance_faults(f'dependency {name!r}', dependency, Dependency)
    if not isinstance(dependency, Dependency):
        return
    kind = type(dependency).__name__
    if getattr(dependency.provide, '__func__', None) is Dependency.provide:
        yield f'dependency {name!r}: {kind} has no provide(); it has to yield what the target gets'
    elif not inspect.isgeneratorfunction(dependency.provide):
        yield f'dependency {name!r}: {kind}.provide has to be a generator function that yields the value once'


def _instance_faults(what: str, found: Any, wanted: type) -> Iterator[str]:
    if isinstance(found, type):
        yield f'{what}: wanted an instance, found the class {found.__name__}; write {found.__name__}()'
    elif not isinstance(found, wanted):
        yield f'{what}: wanted an instance of {wanted.__name__}, found {_kind(found)}'


def _kind(value: Any) -> str:
    return f'the class {value.__name__}' if isinstance(value, type) else f'a {type(value).__name__}'
