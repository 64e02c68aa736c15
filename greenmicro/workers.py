"""Worker: from a message to its outcome; the only caller of user code."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from greenmicro import codecs, targets
from greenmicro.delays import delay_fault
from greenmicro.dependencies import CURRENT, BeginCall, Dependency, Publish, WorkerContext, no_calls
from greenmicro.errors import ArgumentsError, ConfigError, ContentRefusedError, PayloadError
from greenmicro.injections import injection_of
from greenmicro.limits import Limit
from greenmicro.messages import NOT_RUN, SUCCEEDED, Failure, Message, Outcome, Reason, arguments_json
from greenmicro.signals import Reject, RetryLater

if TYPE_CHECKING:
    from greenmicro.routes import Route
    from greenmicro.settings import Settings

logger = logging.getLogger(__name__)

#: Maps a payload to the positional and keyword arguments of the target.
Arguments = Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]]


class Interrupted(BaseException):
    """Thrown into a worker that is still busy at the stop's deadline; its message is given back."""


class Place:
    """What the process that workers run in lends them; one for all of them.

    Attributes:
        settings: The service's settings.
        publish: Sends a publication; from a child through its parent.
        limit: Makes what bounds one call of a target to so many seconds.
        begin_call: Sends a call; from a child through its parent.
    """

    __slots__ = ('_set_up', 'begin_call', 'limit', 'publish', 'settings')

    def __init__(
        self,
        settings: Settings,
        publish: Publish,
        limit: Callable[[float], Limit],
        begin_call: BeginCall = no_calls,
    ) -> None:
        self.settings = settings
        self.publish = publish
        self.limit = limit
        self.begin_call = begin_call
        self._set_up: dict[int, Dependency] = {}

    def set_up(self, dependency: Dependency) -> None:
        """Set a dependency up, unless another route that has it too has done so."""
        if id(dependency) not in self._set_up:
            dependency.setup_worker()
            self._set_up[id(dependency)] = dependency

    def tear_down(self, dependency: Dependency) -> None:
        """Tear a dependency down, if it was set up and not yet torn down."""
        if self._set_up.pop(id(dependency), None) is not None:
            dependency.teardown_worker()


class Worker:
    """Runs a route's steps for one message after the other: decode, translate, inject, call.

    One worker serves one entrypoint in one process. In thread modes many greenlets run it at once, so
    nothing of a message is kept on it. Subclass it to change a step, and name the subclass in
    `Route(worker_class=...)`.

    Args:
        route: The route that it runs.
        entrypoint: The name of the entrypoint that it serves.
        place: What this process lends it.
        arguments: How a payload becomes the target's arguments; None: as its only positional one.
        replies: Whether somebody waits for the target's result; otherwise it is dropped.
        encode: Makes of the result what the outcome holds.

    Example:
        >>> class Timed(Worker):
        ...     def call(self, payload, dependencies):
        ...         started = time.monotonic()
        ...         try:
        ...             return super().call(payload, dependencies)
        ...         finally:
        ...             print(f'{self.route.target} took {time.monotonic() - started:.3f} s')
    """

    def __init__(
        self,
        route: Route,
        entrypoint: str,
        place: Place,
        arguments: Arguments | None = None,
        replies: bool = False,
        encode: Callable[[Any], Any] = codecs.encode,
    ) -> None:
        self.route = route
        self.entrypoint = entrypoint
        self.place = place
        self.arguments = arguments
        self.replies = replies
        self.encode = encode
        self.target: Callable[..., Any]
        self._method = route.target.rpartition('.')[2]
        self._signature: Any = None
        self._error_classes: Mapping[str, type[BaseException]] = {}

    def prepare(self) -> None:
        """Resolve the target and set up the dependencies, once, before the first message.

        Raises:
            ConfigError: The target, or an error class of its retries, does not resolve, or a dependency does
                not set up.
        """
        self.target = targets.resolve(self.route.target)
        if self.replies:
            self._signature = targets.signature(self.target)
        policy = self.route.policy(self.place.settings)
        if policy is not None:
            self._error_classes = policy.classes()
        for name, dependency in self.route.dependencies.items():
            try:
                self.place.set_up(dependency)
            except Exception as error:
                raise ConfigError(
                    f'dependency {name!r} of {self.route.target}: setup_worker failed with '
                    f'{type(error).__name__}: {error}'
                ) from error

    def release(self) -> None:
        """Tear the dependencies down, once, after the last message; what fails there is logged."""
        for name, dependency in reversed(list(self.route.dependencies.items())):
            try:
                self.place.tear_down(dependency)
            except Exception:
                logger.exception('dependency %r of %s: teardown_worker failed', name, self.route.target)

    def run(self, message: Message) -> Outcome:
        """Take a message through all steps; whatever they raise becomes part of the outcome."""
        step = Reason.UNREADABLE
        raised: BaseException | None = None
        limit: Limit | None = None
        try:
            if message.unreadable is not None:
                raise PayloadError('the properties cannot be read; their bytes are kept, base64-coded')
            place = self.place
            context = WorkerContext(
                message, self.entrypoint, place.settings, place.publish, place.begin_call, self._method
            )
            CURRENT.set(context)
            step = Reason.UNDECODABLE
            payload = self.decode(message)
            step = Reason.TRANSLATOR
            payload = self.translate(payload, context)
            step = Reason.DEPENDENCY
            with self.inject(context) as dependencies:
                step = Reason.TARGET
                try:
                    if self.route.timeout_s is None:
                        result = self.call(payload, dependencies)
                    else:
                        limit = self.place.limit(self.route.timeout_s)
                        with limit:
                            result = self.call(payload, dependencies)
                except BaseException as error:
                    raised = error
                    if limit is not None and error is limit.error:
                        step = Reason.TIMEOUT
                    raise
                step = Reason.DEPENDENCY
            if raised is not None:  # an overridden inject() swallowed it; a failure stays one
                raise raised
            step = Reason.RESULT
            return Outcome(True, None, self.encode(result)) if self.replies else SUCCEEDED
        except Interrupted:
            return NOT_RUN
        except BaseException as error:
            return Outcome.failed(self._failure(step, error))
        finally:
            # Or they, this frame and the payload keep each other until the next collection.
            raised = limit = None

    def _failure(self, step: str, error: BaseException) -> Failure:
        failure = Failure.of(_reason(step, error), error)
        if self.replies:
            failure = failure._replace(arguments=arguments_json(error))
        if isinstance(error, RetryLater):
            # Again: a subclass may set, or leave out, what the constructor checks.
            delay_s: Any = getattr(error, 'delay_s', None)
            if fault := delay_fault('delay_s', delay_s):
                return failure._replace(reason=step, error=f'{failure.error.partition(": ")[0]}: {fault}')
            failure = failure._replace(delay_s=float(delay_s))
        if isinstance(error, (RetryLater, Reject)):
            # The class says nothing that the reason does not.
            failure = failure._replace(error=failure.error.partition(': ')[2])
        if isinstance(error, RetryLater):
            return failure
        # A public name may not be the one of the class's own module (requests.RequestException), and who
        # decides, in process modes, has only names.
        names = [name for name, kind in self._error_classes.items() if isinstance(error, kind)]
        return failure._replace(lineage=tuple(dict.fromkeys((*failure.lineage, *names))))

    def decode(self, message: Message) -> Any:
        """Turn the body into a payload, by its content type.

        Raises:
            PayloadError: The body is not what its content type says, or the type is refused.
        """
        return codecs.decode(message, self.place.settings.max_body_mb * codecs.MEGABYTE)

    def translate(self, payload: Any, context: WorkerContext) -> Any:
        """Pass the payload through the route's translators, in order."""
        for translator in self.route.translators:
            payload = translator.translate(payload, context)
        return payload

    def inject(self, context: WorkerContext) -> AbstractContextManager[dict[str, Any]]:
        """Enter the dependencies, in order; the context manager's value maps their names to values.

        They are left in the opposite order, told of the target's exception if there is one.
        """
        return injection_of(self.route.dependencies, context)

    def call(self, payload: Any, dependencies: dict[str, Any]) -> Any:
        """Call the target, as `target(payload, **dependencies)` unless the entrypoint maps otherwise."""
        if self.arguments is None:
            return self.target(payload, **dependencies)
        args, kwargs = self.arguments(payload)
        if self._signature is not None:
            targets.check_call(self._signature, args, kwargs, dependencies)
        return self.target(*args, **kwargs, **dependencies)


def _reason(step: str, error: BaseException) -> str:
    if isinstance(error, RetryLater):
        return Reason.RETRY_LATER
    if isinstance(error, Reject):
        return Reason.REJECTED
    if isinstance(error, ArgumentsError):
        return Reason.ARGUMENTS
    if step is Reason.UNDECODABLE and isinstance(error, ContentRefusedError):
        return Reason.REFUSED
    return step
