"""Connection: a client on gevent's WSGI server, whose requests are read strictly and in time."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from functools import lru_cache
from http import HTTPStatus
from time import monotonic
from typing import Any

from gevent.pywsgi import Input, WSGIHandler
from greenlet import GreenletExit

from greenmicro.http.connections import Connections
from greenmicro.http.heads import Head, RefusedError
from greenmicro.http.problems import problem
from greenmicro.http.values import Answer

logger = logging.getLogger(__name__)

#: Under which an environ has its Connection.
CONNECTION = 'greenmicro.connection'
#: How long a client may take, in seconds, to send the head of a request,
HEAD_S = 10.0
#: ... to come with the next one on the same connection, longer than the minute that most proxies keep one,
IDLE_S = 75.0
#: ... to send each piece of a body, and to take each piece of an answer,
PIECE_S = 30.0
PIECE = 65_536
#: ... and to read why it is refused, while it still sends.
LINGER_S = 2.0
_NEVER = float('inf')


class Connection(WSGIHandler):
    """One client's connection: gevent reads its requests and writes the answers, one after the other.

    Args:
        connections: Where it belongs to.

    Attributes:
        deadline: As a Client of its Connections.
        answering: The same.
        head: The headers of the request.
        body: What follows them.
    """

    head: Head
    body: Body

    def __init__(self, connections: Connections, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections = connections
        self.deadline = _NEVER
        self.answering = False
        self._answered = 0
        self._lingers = False

    def handle(self) -> None:
        """Answer one request after the other; in a greenlet of its own."""
        # A head and a body are two writes: with Nagle's algorithm the second waits for the client's ack.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.connections.enter(self)
        try:
            super().handle()
        finally:
            self.connections.leave(self)

    def end(self) -> None:
        """End the connection, whatever it waits for."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except (OSError, AttributeError):
            pass  # it has ended by itself

    def allow(self) -> None:
        """Give the client its time for a piece of a body."""
        self.deadline = monotonic() + PIECE_S

    def rest(self) -> None:
        """Give the client all the time: it waits for us."""
        self.deadline = _NEVER

    def refuse(self) -> None:
        """End the connection with this answer, since what the client still sends is not read."""
        self.close_connection = self._lingers = True

    # What gevent's server asks, in this order.

    def handle_one_request(self) -> Any:
        """Read a request and answer it; True if there may be another one."""
        result: Any = super().handle_one_request()
        if isinstance(result, tuple):
            answer = problem(414, 'the address is too long') if result[0] == '414' else result[1]
            self.allow()
            self._send(answer if isinstance(answer, bytes) else raw(answer))
            self._lingers, result = True, None
        if self._lingers:
            self._linger()
        return result

    def read_requestline(self) -> str:
        """Wait for a request; '' for none."""
        if self.connections.stopping:
            return ''
        self.deadline = monotonic() + (IDLE_S if self._answered else HEAD_S)
        line: str = super().read_requestline()
        self.deadline = monotonic() + HEAD_S
        return line

    def MessageClass(self, lines: Any, *_: Any) -> Any:  # noqa: N802  # gevent's name
        """Read the headers."""
        self.head = Head.read(lines)
        return self.head

    def read_request(self, raw_requestline: str) -> Any:
        """Read a request up to its body.

        Raises:
            ValueError: It is none.
        """
        super().read_request(raw_requestline)
        if self.request_version not in ('HTTP/1.1', 'HTTP/1.0'):
            raise RefusedError(505, 'wanted HTTP/1.1')
        if self.request_version == 'HTTP/1.1' and ',' in self.head.get('host', ','):
            raise RefusedError(400, 'wanted one Host header')
        assert self.path is not None, 'gevent has read it'
        if self.path.startswith(('http://', 'https://')):  # as proxies are asked
            self.path = '/' + self.path.partition('://')[2].partition('/')[2]
        return True

    def get_environ(self) -> dict[str, Any]:
        """Make the environ, with this connection in it."""
        environ: dict[str, Any] = super().get_environ()
        expects = self.head.get('expect', '').lower() == '100-continue'
        chunked = self.head.get('transfer-encoding') is not None
        self.body = Body(self.rfile, self.content_length, self.socket if expects else None, chunked)
        self.wsgi_input = environ['wsgi.input'] = self.body
        environ[CONNECTION] = self
        return environ

    def handle_one_response(self) -> None:
        """Have the request answered."""
        self.answering = True
        self.deadline = _NEVER
        try:
            super().handle_one_response()
        finally:
            self._answered += 1
            self.answering = False
            self.connections.tell_answered()

    def log_request(self) -> None:
        """Write no line for each request."""

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        """Tell of a fault of our own."""
        self.close_connection = True
        if isinstance(error, GreenletExit):
            return
        logger.error('a request could not be answered', exc_info=(kind, error, trace))
        if not self.headers_sent:
            self._send(raw(problem(500)))

    def _handle_client_error(self, error: Exception) -> tuple[str, bytes] | None:
        if isinstance(error, OSError):
            return None  # it has gone
        refused = error if isinstance(error, RefusedError) else RefusedError(400, 'this is no HTTP request')
        return str(refused.status), raw(problem(refused.status, refused.detail, refused.headers))

    def _send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # it has gone

    def _linger(self) -> None:
        """Read on for a while: closed while data comes in, the answer might be lost on its way."""
        self.deadline = monotonic() + LINGER_S
        try:
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(PIECE):
                pass
        except OSError:
            pass  # it has gone, or its time is over


class Body(Input):
    """The body of a request; who leaves some of it unread ends the connection."""

    #: Whether it ended before its end: what follows is no request.
    broken = False

    @property
    def is_unread(self) -> bool:
        """Whether there is more to come."""
        if self.chunked_input:
            return self.broken or self.chunk_length != 0
        return self.broken or self._left > 0

    def drain(self) -> bool:
        """Read a body that is short and on its way; return whether the connection may go on."""
        if 0 < self._left <= PIECE and not (self.broken or self.chunked_input or self.socket is not None):
            self._next()
        return not self.is_unread

    def pieces(self, allow: Callable[[], None]) -> Iterator[bytes]:
        """Yield the body in pieces; before each, `allow` is called.

        Raises:
            RefusedError: It is none.
        """
        while self.is_unread:
            allow()
            if piece := self._next():
                yield piece
            if self.broken:
                raise RefusedError(400, 'the body is broken off, or its chunks are none')

    def _next(self) -> bytes:
        try:
            piece: bytes = self.read(PIECE)
        # gevent's own faults, too, over a chunk whose length is none.
        except (OSError, ValueError, TypeError):
            self.broken = True
            return b''
        return piece

    @property
    def _left(self) -> int:
        return (self.content_length or 0) - self.position

    def _discard(self) -> None:
        """Read nothing: it may never come, or never end."""


def raw(answer: Answer) -> bytes:
    """Write an answer with which a connection ends."""
    headers = [*answer.headers, ('Content-Length', str(len(answer.body))), ('Connection', 'close')]
    lines = [f'HTTP/1.1 {status_line(answer.status)}', *(f'{name}: {value}' for name, value in headers)]
    return '\r\n'.join([*lines, '', '']).encode('latin-1') + answer.body


@lru_cache
def status_line(status: int) -> str:
    """Write a status with its phrase."""
    try:
        return f'{status} {HTTPStatus(status).phrase}'
    except ValueError:
        return f'{status} Status'
