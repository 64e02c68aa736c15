"""RPCProxy: lets a target call the methods of another service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from greenmicro import codecs
from greenmicro.delays import delay_fault
from greenmicro.dependencies import Dependency, PendingReply, WorkerContext
from greenmicro.errors import UnknownServiceError, UnroutableError
from greenmicro.hops import DEADLINE_HEADER
from greenmicro.messages import Call, Reply
from greenmicro.rpc.protocol import request, result_of


class RPCProxy(Dependency):
    """Injects a stand-in for another service, whose methods are called like one's own.

    `proxy.method(*args, **kwargs)` waits for the result, or raises; `proxy.method.call_async(...)` does not
    wait, and returns a `PendingCall`. A method's name that is no identifier is reached by
    `proxy['the-name']`, and so is one that begins with an underscore.

    Args:
        service: The name of the service.
        timeout_s: How long a call may take, in seconds; None: the setting CALL_TIMEOUT_S. For a single
            call, `proxy.method.within(timeout_s)(...)`.

    Example:
        >>> def total(payload, prices):
        ...     wanted = [prices.price.call_async(name) for name in payload['names']]
        ...     return sum(call.result() for call in wanted)
    """

    has_calls = True

    def __init__(self, service: str, timeout_s: float | None = None) -> None:
        self.service = service
        self.timeout_s = timeout_s

    def setup_worker(self) -> None:
        """Check what was declared.

        Raises:
            ValueError: The service's name or the time-out cannot be meant.
        """
        if not (isinstance(self.service, str) and self.service):
            raise ValueError(f'service: wanted a text, found {self.service!r}')
        if self.timeout_s is not None and (fault := delay_fault('timeout_s', self.timeout_s)):
            raise ValueError(fault)

    def provide(self, context: WorkerContext) -> Iterator[ServiceProxy]:
        """Yield the stand-in; runs where the worker runs."""
        yield ServiceProxy(context, self.service, self.timeout_s)


class ServiceProxy:
    """A service as it is called; its attributes are its methods."""

    __slots__ = ('_context', '_service', '_timeout_s')

    def __init__(self, context: WorkerContext, service: str, timeout_s: float | None) -> None:
        self._context = context
        self._service = service
        self._timeout_s = timeout_s

    def __getattr__(self, name: str) -> Method:
        if name.startswith('_'):
            # What pickle, copy, mocks and shells look for must not be taken for a method.
            raise AttributeError(f'{name!r}: a method of that name is called by proxy[{name!r}](...)')
        return self[name]

    def __getitem__(self, name: str) -> Method:
        timeout_s = self._context.settings.call_timeout_s if self._timeout_s is None else self._timeout_s
        return Method(self._context, self._service, name, timeout_s)

    def __repr__(self) -> str:
        return f'<ServiceProxy {self._service}>'


class Method:
    """One method of another service."""

    __slots__ = ('_context', '_name', '_service', '_timeout_s')

    def __init__(self, context: WorkerContext, service: str, name: str, timeout_s: float) -> None:
        self._context = context
        self._service = service
        self._name = name
        self._timeout_s = timeout_s

    def within(self, timeout_s: float) -> Method:
        """Return the method with a time-out of its own, 0 to 86400 seconds.

        Raises:
            ValueError: The time-out is out of range.
        """
        if fault := delay_fault('timeout_s', timeout_s):
            raise ValueError(fault)
        return Method(self._context, self._service, self._name, timeout_s)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it and return its result.

        Raises:
            PayloadError: The arguments cannot be encoded; nothing was sent.
            PublishError: The request is not known to be with the broker.
            UnknownServiceError: Nobody serves it.
            UnknownMethodError: The service has no such method.
            BadCallError: The arguments do not fit.
            RemoteError: The method raised.
            CallTimeoutError: No reply came in time.
        """
        return self.call_async(*args, **kwargs).result()

    def call_async(self, *args: Any, **kwargs: Any) -> PendingCall:
        """Send the request; returns at once.

        Raises:
            PayloadError: The arguments cannot be encoded; nothing was sent.
        """
        context, timeout_s = self._context, self._timeout_s
        now = time.time()
        if context.deadline is not None:  # nobody waits for this run any longer than that
            timeout_s = max(0.0, min(timeout_s, context.deadline - now))
        headers = context.outgoing({DEADLINE_HEADER: round((now + timeout_s) * 1000)})
        publication = request(self._service, self._name, args, kwargs, headers)
        pending = context.begin_call(Call(publication, timeout_s))
        most = context.settings.max_body_mb * codecs.MEGABYTE
        return PendingCall(pending, self._service, self._name, most)

    def __repr__(self) -> str:
        return f'<Method {self._service}.{self._name}>'


class PendingCall:
    """A call that is on its way."""

    __slots__ = ('_method', '_most', '_pending', '_reply', '_service')

    def __init__(self, pending: PendingReply, service: str, method: str, most: int) -> None:
        self._pending = pending
        self._service = service
        self._method = method
        self._most = most
        self._reply: Reply | None = None

    def result(self, timeout_s: float | None = None) -> Any:
        """Wait for the result; asked again, it is the same.

        Args:
            timeout_s: How long to wait, in seconds; None for as long as the call may take. The call goes on
                when this time is over, and can be waited for again.

        Raises:
            RPCError: As the method itself, called directly.
            PublishError: Likewise.
        """
        if timeout_s is not None and (fault := delay_fault('timeout_s', timeout_s)):
            raise ValueError(fault)
        if self._reply is None:
            try:
                self._reply = self._pending.wait(timeout_s)
            except UnroutableError as error:
                raise UnknownServiceError(f'no service {self._service!r} listens to calls') from error
        return result_of(self._reply, self._most)

    def __repr__(self) -> str:
        return f'<PendingCall of {self._service}.{self._method}>'
