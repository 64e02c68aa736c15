"""Site: the one server of a service, which its HTTPEntrypoints share; started, stopped and closed once."""

from __future__ import annotations

import resource
import socket
from functools import partial
from typing import Any

from gevent.pywsgi import WSGIServer

from greenmicro.errors import ConfigError
from greenmicro.hosting import Service
from greenmicro.http.application import Application
from greenmicro.http.connection import Connection
from greenmicro.http.connections import Connections
from greenmicro.http.entrypoints import HTTPEntrypoint

#: So many who are not accepted yet wait in the listening socket.
BACKLOG = 1_024


class Site:
    """Listens on HTTP_ADDRESS for all HTTPEntrypoints of a service.

    Each of them calls `start`, `stop` and `close`; the first call counts.

    Args:
        service: The service.
    """

    def __init__(self, service: Service) -> None:
        self._settings = service.settings
        self._connections = Connections()
        self._application = Application(service.settings, self._connections)
        self._server: Any = None
        self._started = False

    def add(self, entrypoint: HTTPEntrypoint) -> None:
        """Give an entrypoint its place; with the first one the site listens.

        Raises:
            ConfigError: HTTP_ADDRESS cannot be listened on.
        """
        self._application.routes.add(entrypoint)
        if self._server is None:
            self._server = self._listen()

    def start(self) -> None:
        """Begin to answer."""
        if not self._started:
            self._started = True
            self._connections.start()
            self._server.start()

    def stop(self) -> None:
        """Accept no more connections, and no more requests on those that are open."""
        if not self._connections.stopping:
            self._server.close()
            self._connections.stop()

    def close(self, timeout_s: float) -> None:
        """Wait until the answers are out, for so many seconds at the most, and end all connections."""
        server, self._server = self._server, None
        if server is not None:
            self._connections.close(timeout_s)
            server.stop(timeout=0)

    def _listen(self) -> Any:
        address, most = self._settings.http_address, 2 * self._settings.max_requests
        family = socket.AF_INET6 if ':' in address.host else socket.AF_INET
        try:
            listening = socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
        except OSError as error:
            why = str(error.strerror or error).partition(' (while')[0]
            raise ConfigError(
                f'HTTP_ADDRESS: cannot listen on {address} ({why}); wanted an address of this machine that '
                'nobody else listens on'
            ) from error
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if descriptors != resource.RLIM_INFINITY:
            most = max(1, min(most, descriptors // 2))
        handler: Any = partial(Connection, self._connections)
        return WSGIServer(
            listening,
            self._application,
            log=None,
            error_log=None,
            handler_class=handler,
            # Half of the descriptors stay: a lost connection to the broker has to come back.
            spawn=most,
            environ={'SERVER_NAME': address.host},  # or it is looked up, which may take seconds
        )
