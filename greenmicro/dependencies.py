"""Dependency: what a target is given beside its payload, entered before the call and left after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from greenmicro import hops
from greenmicro.errors import RPCError
from greenmicro.ids import new_id
from greenmicro.messages import Call, Message, Publication, Reply

if TYPE_CHECKING:
    from greenmicro.amqp.topology import Exchange
    from greenmicro.settings import Settings

#: Publishes, and returns once the broker has confirmed.
Publish = Callable[[Publication], None]


class PendingReply(Protocol):
    """A call that is on its way, and waited for."""

    def wait(self, timeout_s: float | None = None) -> Reply:
        """Return the reply; at once if it is here.

        Args:
            timeout_s: How long to wait, in seconds; None for as long as the call itself may take.

        Raises:
            RPCError: There is none, or none within that time.
            PublishError: The request was not sent.
        """


#: Sends a request and returns at once.
BeginCall = Callable[[Call], PendingReply]


def no_calls(call: Call) -> PendingReply:
    """Refuse a call, where nobody has said that there would be any."""
    raise RPCError('nothing here listens for replies: a dependency that calls has to set has_calls')


class WorkerContext:
    """What translators, dependencies and workers may know of the message that they serve.

    Attributes:
        message: The raw message, with its headers and properties.
        entrypoint: The name of the entrypoint that received it, as log lines about its messages have it.
        settings: The service's settings.
        publish: Sends a `Publication`; returns once the broker has confirmed it.
        begin_call: Sends a `Call`, and returns what waits for its reply.
        method: The last part of the target's path.
    """

    __slots__ = ('_call_id', '_data', 'begin_call', 'entrypoint', 'message', 'method', 'publish', 'settings')

    def __init__(
        self,
        message: Message,
        entrypoint: str,
        settings: Settings,
        publish: Publish,
        begin_call: BeginCall = no_calls,
        method: str = '',
    ) -> None:
        self.message = message
        self.entrypoint = entrypoint
        self.settings = settings
        self.publish = publish
        self.begin_call = begin_call
        self.method = method
        # Made when they are asked for, which most messages never do.
        self._call_id = ''
        self._data: dict[str, Any] | None = None

    @property
    def attempt(self) -> int:
        """Which attempt at this message is running; 1 for the first."""
        return self.message.attempt

    @property
    def service(self) -> str:
        """The name of this service."""
        return self.settings.service_name

    @property
    def call_id(self) -> str:
        """The id of this run: `service.method.uuid`."""
        if not self._call_id:
            self._call_id = f'{self.service}.{self.method}.{new_id()}'
        return self._call_id

    @property
    def call_id_stack(self) -> list[str]:
        """The ids of the runs that led to this one, and its own, newest last; at most 11."""
        return [*hops.stack_of(self.message.headers), self.call_id]

    @property
    def headers(self) -> dict[str, Any]:
        """What travels from call to call: language, user and the like, by the names that nameko gives them.

        What is set here goes out with all that this run publishes and calls from then on.
        """
        if self._data is None:
            self._data = hops.data_of(self.message.headers)
        return self._data

    @property
    def deadline(self) -> float | None:
        """When the caller waits no longer, in seconds since 1970, by the caller's clock; None for nobody."""
        return hops.deadline_of(self.message.headers)

    def outgoing(self, headers: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the headers for what this run publishes: what travels, and those given."""
        return {**hops.headers_for(self.headers, self.call_id_stack), **(headers or {})}

    def __repr__(self) -> str:
        return f'<WorkerContext of {self.message!r} at {self.entrypoint}>'


#: That of the message which is being worked on here; each message runs in a contextvars context of its own.
CURRENT: ContextVar[WorkerContext | None] = ContextVar('greenmicro.context', default=None)


class Dependency:
    """Something a target needs: a session, a client, a producer.

    All hooks run where the worker runs: in a greenlet of the service, or in a child process. In
    process modes an instance is pickled once, at start, so its constructor only assigns plain values
    and `setup_worker` opens what cannot be pickled.

    Example:
        >>> class Connected(Dependency):
        ...     def __init__(self, path):
        ...         self.path = path
        ...     def provide(self, context):
        ...         with closing(sqlite3.connect(self.path)) as connection:
        ...             with connection:   # commits, or rolls back when the target raises
        ...                 yield connection
    """

    #: Whether it calls other services: this one then listens for replies.
    has_calls = False

    def publishes_on(self, settings: Settings) -> Iterable[Exchange]:
        """Name what has to be declared before it publishes; asked once, in the service's process."""
        return ()

    def setup_worker(self) -> None:
        """Prepare what all messages share; once per worker process, before the first message.

        Raises:
            Exception: Anything; the service then does not start.
        """

    def teardown_worker(self) -> None:
        """Release what `setup_worker` opened; once per worker process, after the last message."""

    def provide(self, context: WorkerContext) -> Iterator[Any]:
        """Yield once what the target gets; a generator function.

        What stands before the `yield` runs before the target, what stands after it when the target has
        ended. If the target raised, the exception is raised at the `yield`; it cannot be swallowed
        there. An error on leaving fails the message.

        Args:
            context: The message and the place it runs in.

        Yields:
            The value that is passed to the target under the dependency's name.
        """
        raise NotImplementedError(f'{type(self).__name__} has no provide()')
        yield  # a generator function, like those that take its place


class Context(Dependency):
    """Injects the WorkerContext itself: call id, call chain, headers, attempt, deadline, settings.

    Example:
        >>> def place_order(payload, context):
        ...     context.headers['tenant'] = payload['tenant']   # for those who are called from here
        ...     print(context.call_id, context.attempt)
    """

    def provide(self, context: WorkerContext) -> Iterator[WorkerContext]:
        """Yield the context; runs where the worker runs."""
        yield context
