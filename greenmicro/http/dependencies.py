"""HTTPRequest: gives a target the request that it answers."""

from __future__ import annotations

from collections.abc import Iterator

from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.http.values import Request


class HTTPRequest(Dependency):
    """Injects the `Request`: method, path, query, headers, parameters of the path, body, client.

    Example:
        >>> # Route('tasks.find', dependencies={'request': HTTPRequest()})
        >>> def find(query, request):
        ...     return search(request.query.get('tag', []), language=request.headers.get('accept-language'))
    """

    def provide(self, context: WorkerContext) -> Iterator[Request]:
        """Yield the request; runs where the worker runs."""
        yield Request.of(context.message)
