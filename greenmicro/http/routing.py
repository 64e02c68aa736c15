"""Routes: which entrypoint answers a request, by werkzeug's rules for paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, MapAdapter, Rule

from greenmicro.http.entrypoints import HTTPEntrypoint
from greenmicro.http.problems import problem
from greenmicro.http.values import Answer


def path_fault(path: object) -> str | None:
    """Say what is wrong with a path; None if nothing is."""
    wanted = "wanted a path such as '/orders/<int:id>'"
    if not isinstance(path, str):
        return f'{wanted}, found {path!r}'
    if '?' in path or '#' in path or not path.isprintable():
        return f'{wanted}, without a query, found {path!r}'
    try:
        _new_map().add(Rule(path))
    except (ValueError, LookupError, SyntaxError, TypeError) as error:
        return f'{wanted}, found {path!r} ({error})'
    return None


class Routes:
    """All paths of a service.

    Redirects are none of ours: a path is the same with and without a slash at its end.
    """

    def __init__(self) -> None:
        self._map = _new_map()
        self._adapter: MapAdapter = self._map.bind('localhost')

    def add(self, entrypoint: HTTPEntrypoint) -> None:
        """Add an entrypoint."""
        self._map.add(Rule(entrypoint.path, methods=[entrypoint.method], endpoint=entrypoint))

    def match(self, method: str, path: str) -> tuple[HTTPEntrypoint, Mapping[str, Any]] | Answer:
        """Return who answers a request, and the variable parts of its path; or the answer that nobody does.

        Args:
            method: The request's method.
            path: Its path, decoded.
        """
        if method == 'OPTIONS':
            return self._options(path)
        try:
            return self._adapter.match(path, method)
        except MethodNotAllowed as error:
            allow = _allow(error.valid_methods or ())
            return problem(405, f'wanted one of {allow}', [('Allow', allow)])
        except HTTPException:
            return problem(404, 'there is nothing at this path')

    def _options(self, path: str) -> Answer:
        methods = self._adapter.allowed_methods(path)
        if not methods and path != '*':
            return problem(404, 'there is nothing at this path')
        return Answer(204, [('Allow', _allow(methods))], b'')


def _new_map() -> Map:
    return Map(strict_slashes=False, redirect_defaults=False, merge_slashes=False)


def _allow(methods: Any) -> str:
    return ', '.join(sorted({*methods, 'OPTIONS'}))
