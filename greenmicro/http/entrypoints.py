"""HTTPEntrypoint: runs a route for each request of a method to a path, and answers it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from greenmicro.dependencies import CURRENT
from greenmicro.entrypoints import Entrypoint
from greenmicro.hosting import Service
from greenmicro.http.problems import status_of
from greenmicro.http.values import Request, answer_of
from greenmicro.messages import Failure, Message, Outcome, Settlement
from greenmicro.routes import Route

if TYPE_CHECKING:
    from greenmicro.settings import Settings

#: HEAD goes with GET, and OPTIONS is answered for all.
METHODS = ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')
_PARAMETER = re.compile(r'<(?:([^<>]*):)?(\w+)>')


class HTTPEntrypoint(Entrypoint):
    """Answers the requests of one method to one path; all of a service share one port, HTTP_ADDRESS.

    The target gets the payload by position, and the variable parts of the path, converted, by keyword, with
    the dependencies on top. The payload is the decoded body (JSON, text, or bytes as
    `application/octet-stream`); of a request without a body it is a dict of its query: name to text, the
    first one where a name comes several times. What the target returns is answered in JSON with status 200,
    None with 204, a `Response` as it says. HEAD is answered as GET without the body, OPTIONS with the
    methods that there are. What fails is answered with problem details.

    Args:
        method: GET, POST, PUT, PATCH or DELETE.
        path: In werkzeug's form, as `/orders/<int:id>`; with or without a slash at the end is the same.
        route: What each request goes through.
        raw: Whether the payload is the body's bytes, whatever they are.

    Example:
        >>> HTTPEntrypoint('GET', '/orders/<int:id>', route=Route('tasks.get_order'))
        >>> # tasks.py: def get_order(query, id): return {'id': id}
    """

    replies = True

    def __init__(self, method: str, path: str, route: Route | None = None, raw: bool = False) -> None:
        super().__init__(route)
        self.method = method
        self.path = path
        self.raw = raw

    def faults(self, settings: Settings | None) -> Iterator[str]:
        """Yield a sentence for everything about this entrypoint that cannot work."""
        yield from super().faults(settings)
        if self.method not in METHODS:
            yield f'method: wanted one of {", ".join(METHODS)}, found {self.method!r}'
        try:
            from greenmicro.http.routing import path_fault
        except ModuleNotFoundError:
            yield "it needs werkzeug, which is not installed: pip install 'greenmicro[http]'"
            return
        if fault := path_fault(self.path):
            yield f'path: {fault}'
        elif isinstance(self.route, Route):
            for name in self._parameters() & set(self.route.dependencies or ()):
                yield f'path: <{name}> has the name of a dependency; the target takes both by keyword'
        if settings is not None:
            yield from _setting_faults(settings)

    def claim(self, settings: Settings) -> str | None:
        """Say which requests are this entrypoint's alone, whatever the parts of the path are called."""
        path = _PARAMETER.sub(r'<\1>', self.path)
        return f'HTTP {self.method} {path}'

    def describe(self) -> str:
        """Say in one line, for the start log, what it answers."""
        address = self.service.settings.http_address
        return f'{self.method} http://{address}{self.path} -> {self.route.target}'

    def setup(self, service: Service) -> None:
        """Take a place at the service's server, which listens from then on.

        Raises:
            ConfigError: HTTP_ADDRESS cannot be listened on.
        """
        from greenmicro.http.site import Site

        super().setup(service)
        self.site = service.shared(Site)
        self.site.add(self)

    def start(self) -> None:
        """Begin to answer."""
        self.site.start()

    def stop(self) -> None:
        """Take no more; what was received is still answered."""
        self.site.stop()

    def say_goodbye(self, timeout_s: float) -> None:
        """Wait until the answers are out, and close all connections."""
        self.site.close(timeout_s)

    def arguments(self, payload: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Map to the target's arguments; runs in the worker."""
        context = CURRENT.get()
        assert context is not None, 'a worker sets it before it calls'
        return (payload,), dict(Request.of(context.message).parameters)

    def encode(self, result: Any) -> Any:
        """Make of the target's result an answer in plain values; runs in the worker."""
        return tuple(answer_of(result))

    def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
        """Answer; nobody is there any more if the client has gone away."""
        message.delivery.set(outcome)

    def expects(self, failure: Failure) -> bool:
        """Say whether a failure is the client's."""
        return status_of(failure) < 500

    def fate(self, message: Message, settlement: Settlement) -> str:
        """Say in the log what becomes of a request that failed."""
        return 'answered'

    def _parameters(self) -> set[str]:
        return {name for _, name in _PARAMETER.findall(self.path)}


def _setting_faults(settings: Settings) -> Iterator[str]:
    if settings.health_address == settings.http_address:
        yield f'HTTP_ADDRESS and HEALTH_ADDRESS: wanted two, found {settings.http_address} for both'
    if settings.max_request_mb > settings.max_body_mb:
        most, found = settings.max_body_mb, settings.max_request_mb
        yield f'MAX_REQUEST_MB: wanted at most {most} as MAX_BODY_MB has it, found {found}'
