"""Health: what it answers, and that no client can take it from the others."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from greenmicro import health
from greenmicro.addresses import Address
from greenmicro.errors import ConfigError
from greenmicro.health import MOST_AT_ONCE, Health
from tests.support.ports import free_port


@pytest.fixture
def reasons() -> list[str]:
    """What keeps the service from being ready; the test changes it."""
    return []


@pytest.fixture
def port(reasons: list[str]) -> Iterator[int]:
    """Where a service answers about its health."""
    number = free_port()
    served = Health(Address('127.0.0.1', number), lambda: list(reasons))
    served.start()
    yield number
    served.stop()


def ask(port: int, path: str, method: str = 'GET') -> tuple[int, Any, http.client.HTTPResponse]:
    """The status, the content and the rest of an answer."""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
    connection.request(method, path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, json.loads(body) if body else None, response


def test_ready(port: int) -> None:
    """Without a hindrance it is ready; nobody on the way may keep the answer."""
    status, content, response = ask(port, '/readyz')
    assert (status, content) == (200, {'ready': True, 'reasons': []})
    assert response.headers['Content-Type'] == 'application/json'
    assert response.headers['Cache-Control'] == 'no-store'


def test_not_ready_but_alive(port: int, reasons: list[str]) -> None:
    """With hindrances it says them all, and lives on."""
    reasons += ['queue a: not consuming', 'publishing: blocked']
    assert ask(port, '/readyz')[:2] == (503, {'ready': False, 'reasons': reasons})
    assert ask(port, '/livez')[:2] == (200, {'live': True})


def test_what_blocked_the_hub_last_is_told() -> None:
    """By who asks whether it lives: his question before this one may have had no answer."""
    stall = {'by': 'tasks.compute', 'blocked_s': 2.5, 'ago_s': 1.0}
    address = Address('127.0.0.1', free_port())
    served = Health(address, list, lambda: stall)
    served.start()
    assert ask(address.port, '/livez')[:2] == (200, {'live': True, 'last_stall': stall})
    served.stop()


@pytest.mark.parametrize(
    ('method', 'path', 'status'),
    [
        ('GET', '/', 404),
        ('GET', '/readyz/', 404),
        ('POST', '/nothing', 404),
        ('POST', '/livez', 405),
        ('DELETE', '/readyz', 405),
        ('GET', '/readyz?verbose=1', 200),
    ],
)
def test_other_questions(port: int, method: str, path: str, status: int) -> None:
    """Other paths are not found, other methods not allowed, a query is let be."""
    assert ask(port, path, method)[0] == status


def test_head(port: int, reasons: list[str]) -> None:
    """HEAD has the status and no body."""
    reasons.append('starting')
    assert ask(port, '/readyz', 'HEAD')[:2] == (503, None)


def test_an_address_in_use() -> None:
    """It stops the start, and names the setting and the address."""
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf'HEALTH_ADDRESS: .* 127\.0\.0\.1:{port} \(Addr'):
            Health(Address('127.0.0.1', port), list).start()


def test_ipv6() -> None:
    """It listens on an address of IPv6."""
    port = free_port()
    served = Health(Address('::1', port), list)
    served.start()
    connection = http.client.HTTPConnection('::1', port, timeout=60)
    connection.request('GET', '/livez')
    assert connection.getresponse().status == 200
    connection.close()
    served.stop()


@pytest.mark.parametrize(
    'sent',
    [
        b'\x00' * 9000,
        b'AMQP\x00\x00\x09\x01',
        b'GET\r\n\r\n',
        b'GET / HTTP/9.9\r\n\r\n',
        b'GET /x HTTP/1.1\r\nA',
    ],
)
def test_garbage(port: int, sent: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """What is no question ends its own connection, silently."""
    with socket.create_connection(('127.0.0.1', port), timeout=60) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        try:
            while client.recv(4096):
                pass
        except ConnectionResetError:
            pass  # what it did not read was on its way
    assert ask(port, '/livez')[0] == 200
    assert capfd.readouterr().err == ''


def test_who_asks_slowly_loses_the_place(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many silent clients as there are places keep nobody out for longer than their time."""
    monkeypatch.setattr(health, 'REQUEST_TIMEOUT_S', 0.1)
    silent = [socket.create_connection(('127.0.0.1', port), timeout=60) for _ in range(MOST_AT_ONCE)]
    for client in silent:
        client.sendall(b'GET /livez HTTP/1.1\r\n')
    assert ask(port, '/livez')[0] == 200
    assert all(client.recv(1) == b'' for client in silent)
    for client in silent:
        client.close()


def test_after_the_stop(reasons: list[str]) -> None:
    """Nobody answers any more, and the address is free again; a second stop does nothing."""
    address = Address('127.0.0.1', free_port())
    for _ in range(2):
        served = Health(address, list)
        served.start()
        assert ask(address.port, '/livez')[0] == 200
        served.stop()
        served.stop()
        with pytest.raises(ConnectionRefusedError):
            ask(address.port, '/livez')
