"""Application: from a request to its answer, by way of the route of its entrypoint."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gevent.event import AsyncResult

from greenmicro.codecs import MEGABYTE
from greenmicro.http.connection import CONNECTION, PIECE, Connection, status_line
from greenmicro.http.connections import Connections
from greenmicro.http.entrypoints import HTTPEntrypoint
from greenmicro.http.heads import RefusedError
from greenmicro.http.incoming import ID_HEADER, message_of
from greenmicro.http.problems import answer_to, problem, unavailable
from greenmicro.http.routing import Routes
from greenmicro.http.values import BODILESS, Answer
from greenmicro.messages import Message, Outcome
from greenmicro.settings import Settings

logger = logging.getLogger(__name__)

#: So much is held of all requests' bodies together, in bytes, unless a single one may be larger.
HELD_MOST = 256 * MEGABYTE
STOPPING = 'the service stops'


class Application:
    """Reads requests, hands each to its entrypoint, and makes an answer of the outcome.

    A request is read in the greenlet of its connection, which then waits for the outcome. Once a stop has
    begun nothing is handed over any more.

    Args:
        settings: The service's settings.
        connections: All that are open.

    Attributes:
        routes: Who answers what.
    """

    def __init__(self, settings: Settings, connections: Connections) -> None:
        self.routes = Routes()
        self._settings = settings
        self._connections = connections
        self._requests = 0
        self._held = 0

    def __call__(self, environ: Mapping[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a request, as a WSGI application does; in the greenlet of its connection."""
        connection: Connection = environ[CONNECTION]
        try:
            answer = self._answer(environ, connection)
        except RefusedError as refused:
            answer = problem(refused.status, refused.detail, refused.headers)
        headers = list(answer.headers)
        if answer.status not in BODILESS:
            headers.append(('Content-Length', str(len(answer.body))))
        connection.allow()
        if not connection.body.drain():
            connection.refuse()
        if self._connections.stopping or connection.close_connection:
            headers.append(('Connection', 'close'))
        start_response(status_line(answer.status), headers)
        if environ['REQUEST_METHOD'] == 'HEAD':
            return []
        return [answer.body] if len(answer.body) <= PIECE else _pieces(answer.body, connection)

    def _answer(self, environ: Mapping[str, Any], connection: Connection) -> Answer:
        found = self.routes.match(environ['REQUEST_METHOD'], _text(environ['PATH_INFO']))
        if isinstance(found, Answer):
            return found
        if self._requests >= self._settings.max_requests:
            return unavailable('too many requests wait')
        self._requests += 1
        body = bytearray()
        try:
            self._read(connection, body)
            # As late as this: a body takes its time to come, and what comes after the stop nobody runs.
            if self._connections.stopping:
                return unavailable(STOPPING)
            return _run(*found, environ, connection, bytes(body))
        finally:
            self._requests -= 1
            self._held -= len(body)

    def _read(self, connection: Connection, body: bytearray) -> None:
        """Read the body.

        Raises:
            RefusedError: It is too large, or none.
        """
        most, source = self._settings.max_request_mb * MEGABYTE, connection.body
        if (source.content_length or 0) > most:
            raise self._too_large()
        if source.is_unread and connection.head.get('content-encoding', 'identity').lower() != 'identity':
            raise RefusedError(415, 'wanted a body that is not compressed', [('Accept-Encoding', 'identity')])
        for piece in source.pieces(connection.allow):
            body += piece
            self._held += len(piece)
            if len(body) > most:
                raise self._too_large()
            if self._held > max(HELD_MOST, most):
                raise RefusedError(503, 'too much is being sent', [('Retry-After', '1')])

    def _too_large(self) -> RefusedError:
        return RefusedError(413, f'wanted a body of at most {self._settings.max_request_mb} MB')


def _run(
    entrypoint: HTTPEntrypoint,
    parameters: Mapping[str, Any],
    environ: Mapping[str, Any],
    connection: Connection,
    body: bytes,
) -> Answer:
    waiting: AsyncResult[Outcome] = AsyncResult()
    message = message_of(environ, connection.head.values, parameters, body, entrypoint.raw, waiting)
    connection.rest()
    entrypoint.receive(message)
    outcome = waiting.get()
    assert outcome is not None, 'settle has set one'
    status, headers, content = _answer_of(entrypoint, message, outcome)
    return Answer(status, [*headers, (ID_HEADER, str(message.message_id))], content)


def _answer_of(entrypoint: HTTPEntrypoint, message: Message, outcome: Outcome) -> Answer:
    if not outcome.ran:
        return unavailable(STOPPING)
    if outcome.failure is not None:
        return answer_to(outcome.failure)
    try:
        answer = Answer(*outcome.result)
        if isinstance(answer.body, bytes):
            return answer
    except TypeError:
        pass
    # A Worker of the user's own made it.
    logger.error(
        '%s: %r: wanted status, headers and body, found %r', entrypoint.name, message, outcome.result
    )
    return problem(500)


def _pieces(body: bytes, connection: Connection) -> Iterator[bytes]:
    for start in range(0, len(body), PIECE):
        connection.allow()
        yield body[start : start + PIECE]


def _text(path: str) -> str:
    """Decode a path that WSGI hands over as latin-1."""
    if path.isascii():
        return path
    try:
        return path.encode('latin-1').decode()
    except UnicodeDecodeError:
        raise RefusedError(400, 'the path is not UTF-8') from None
