"""Health: answers over HTTP whether the service lives, and whether it is ready."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gevent
from gevent.pywsgi import WSGIHandler, WSGIServer

from greenmicro.addresses import Address
from greenmicro.errors import ConfigError

#: How long a client may take, in seconds, to ask and to be answered.
REQUEST_TIMEOUT_S = 5.0
#: So many may ask at once; others wait for them, in the listening socket's queue.
MOST_AT_ONCE = 64

Answer = tuple[str, dict[str, Any]]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Health:
    """Serves `/livez` and `/readyz` on the hub, to one who asks as often as each second.

    `/livez` answers 200 as long as the hub answers at all: while a target blocks it the asker's own
    time-out says that it does not. It tells of the last time that one did. `/readyz` answers 200, or 503 with
    the reasons.

    Args:
        address: Where it listens.
        hindrances: Says, in a sentence each, what keeps the service from being ready.
        last_stall: Says what blocked the hub last, if anything did.
    """

    def __init__(
        self,
        address: Address,
        hindrances: Callable[[], list[str]],
        last_stall: Callable[[], dict[str, Any] | None] = lambda: None,
    ) -> None:
        self._address = address
        self._hindrances = hindrances
        self._last_stall = last_stall
        self._server: Any = None

    def start(self) -> None:
        """Begin to answer.

        Raises:
            ConfigError: The address cannot be listened on.
        """
        try:
            listening = _listen(self._address)
        except OSError as error:
            why = str(error.strerror or error).partition(' (while')[0]
            raise ConfigError(
                f'HEALTH_ADDRESS: cannot listen on {self._address} ({why}); wanted an address of this '
                'machine that nobody else listens on'
            ) from error
        self._server = WSGIServer(
            listening,
            self._answer,
            log=None,
            error_log=None,
            handler_class=_Handler,
            spawn=MOST_AT_ONCE,
        )
        self._server.start()

    def stop(self) -> None:
        """Answer no more; possible at any time, even twice."""
        server, self._server = self._server, None
        if server is not None:
            server.stop(timeout=0)

    def _answer(self, environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        status, content = self._look(environ['PATH_INFO'], environ['REQUEST_METHOD'])
        body = json.dumps(content).encode() + b'\n'
        headers = [
            ('Content-Type', 'application/json'),
            ('Content-Length', str(len(body))),
            ('Cache-Control', 'no-store'),
            # One question a connection: nobody keeps one of the few places by waiting for the next.
            ('Connection', 'close'),
        ]
        if status.startswith('405'):
            headers.append(('Allow', 'GET, HEAD'))
        start_response(status, headers)
        return [] if environ['REQUEST_METHOD'] == 'HEAD' else [body]

    def _look(self, path: str, method: str) -> Answer:
        if path not in ('/livez', '/readyz'):
            return '404 Not Found', {'error': 'there are /livez and /readyz'}
        if method not in ('GET', 'HEAD'):
            return '405 Method Not Allowed', {'error': 'wanted GET or HEAD'}
        if path == '/livez':
            stall = self._last_stall()
            return '200 OK', {'live': True, **({'last_stall': stall} if stall else {})}
        reasons = self._hindrances()
        status = '503 Service Unavailable' if reasons else '200 OK'
        return status, {'ready': not reasons, 'reasons': reasons}


def _listen(address: Address) -> Any:
    family = socket.AF_INET6 if ':' in address.host else socket.AF_INET
    return socket.create_server((address.host, address.port), family=family, backlog=MOST_AT_ONCE)


class _Handler(WSGIHandler):
    """Ends a connection after its time: one who asks a byte a second would keep its place for ever."""

    def handle(self) -> None:
        with gevent.Timeout(REQUEST_TIMEOUT_S, False):  # type: ignore[arg-type]  # False: silently
            super().handle()
