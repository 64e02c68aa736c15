"""A service that answers over HTTP, and clients of it: well-behaved ones and bare sockets."""

from __future__ import annotations

import http.client
import json
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import gevent
import pytest
from gevent.event import Event

from greenmicro.entrypoints import Entrypoint
from greenmicro.runner import Runner
from tests.support.ports import free_port

TIMEOUT_S = 20.0


class Got(NamedTuple):
    """An answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def payload(self) -> Any:
        return json.loads(self.body)


class Place:
    """Where a service answers."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.runner: Any = None

    def open(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection('127.0.0.1', self.port, timeout=TIMEOUT_S)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Got:
        """Ask on a connection of its own; a body that is no bytes goes as JSON."""
        connection = self.open()
        try:
            return ask(connection, method, path, body, **headers)
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(('127.0.0.1', self.port), timeout=TIMEOUT_S)

    def tell(self, *pieces: bytes) -> bytes:
        """Send bytes, and return all that comes until the other side closes."""
        with self.connect() as client:
            for piece in pieces:
                client.sendall(piece)
            return rest_of(client)


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, **headers: str
) -> Got:
    """Ask on a connection that is open; in headers with a capital `_` stands for the hyphen."""
    named = {name.replace('_', '-') if name[0].isupper() else name: value for name, value in headers.items()}
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        named = {'Content-Type': 'application/json', **named}
    connection.request(method, path, body, named)
    response = connection.getresponse()
    return Got(response.status, response.headers, response.read())


def rest_of(client: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    received = b''
    try:
        while piece := client.recv(65_536):
            received += piece
    except ConnectionResetError:
        pass  # it did not read all that was sent
    return received


class Gate:
    """A target that says how many have come in, and lets them out when it is opened."""

    def __init__(self) -> None:
        self.opened = Event()
        self.inside = 0
        self.came = Event()

    def __call__(self, payload: Any) -> Any:
        self.inside += 1
        self.came.set()
        self.opened.wait()
        return payload

    def wait_for(self, number: int) -> None:
        while self.inside < number:
            self.came.clear()
            assert self.came.wait(20)


def wait_until(is_so: Any) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        gevent.sleep(0.005)


def requests_of(place: Place) -> int:
    number: int = place.runner._service.entrypoints[0].site._application._requests
    return number


#: Runs a service until the end of the test.
Serve = Callable[..., Place]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Runs services on a broker in this process."""
    with ExitStack() as stack:

        def run(*entrypoints: Entrypoint, **config: Any) -> Place:
            place = Place(free_port())
            full = {
                'AMQP_URI': f'memory://{uuid.uuid4().hex}',
                'SERVICE_NAME': 'shop',
                'STOP_TIMEOUT_S': 5,
                'HTTP_ADDRESS': f'127.0.0.1:{place.port}',
                **config,
            }
            place.runner = stack.enter_context(Runner(entrypoints, full))
            return place

        yield run
