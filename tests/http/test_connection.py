"""Connections: what is no request, what is one in an unusual form, and what takes too long."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from greenmicro.http import connection, connections
from greenmicro.http.entrypoints import HTTPEntrypoint
from greenmicro.routes import Route
from tests.fakes import tasks
from tests.http.conftest import Place, Serve, ask, rest_of

POST = b'POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n'
GET = b'GET / HTTP/1.1\r\nHost: a\r\n'
CLOSE = b'Connection: close\r\n\r\n'


@pytest.fixture
def place(serve: Serve) -> Iterator[Place]:
    """Answers with what it was sent."""
    with tasks(echo=lambda payload: payload) as module:
        route = Route(f'{module}.echo')
        yield serve(*(HTTPEntrypoint(method, '/', route) for method in ('GET', 'POST')), MAX_REQUEST_MB=1)


def status_of(received: bytes) -> int:
    assert received.startswith(b'HTTP/1.1 '), received
    return int(received.split()[1])


def payload_of(received: bytes) -> Any:
    return json.loads(received.rpartition(b'\r\n\r\n')[2])


@pytest.mark.parametrize(
    ('sent', 'status'),
    [
        (b'nonsense\r\n\r\n', 400),
        (b'\x16\x03\x01\x02\x00\r\n\r\n', 400),
        (b'GET /\r\n\r\n', 505),
        (b'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 400),
        (b'GET / HTTP/1.1\r\n\r\n', 400),
        (b'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400),
        (b'GET /%ff HTTP/1.1\r\nHost: a\r\n\r\n' + GET + CLOSE, 400),
        (GET + b'no colon\r\n\r\n', 400),
        (GET + b'A: ' + b'b' * 40_000 + b'\r\n\r\n', 431),
        (b'GET /' + b'a' * 9_000 + b' HTTP/1.1\r\nHost: a\r\n\r\n', 414),
        (POST + b'Transfer-Encoding: gzip, chunked\r\n\r\n', 501),
        (POST + b'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400),
        (POST + b'Content-Length: 2000000\r\n\r\n', 413),
        (POST + b'Content-Length: 2\r\nContent-Encoding: gzip\r\n' + CLOSE + b'{}', 415),
        (POST + b'Transfer-Encoding: chunked\r\n\r\nx\r\n', 400),
        (POST + b'Transfer-Encoding: chunked\r\n\r\n\r\n', 400),
        (POST + b'Transfer-Encoding: chunked\r\n\r\n1;x=\n' + b' ' * 9_000 + b'', 400),
        (POST + b'Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n', 400),
        (POST + b'Transfer-Encoding: chunked\r\n\r\nf' * 20 + b'\r\n', 400),
    ],
)
def test_what_is_no_request_is_told_so(place: Place, sent: bytes, status: int) -> None:
    """In problem details; the connection ends with it unless it is clear where the next one begins."""
    received = place.tell(sent)
    first = received.partition(b'HTTP/1.1 200')[0]
    assert status_of(first) == payload_of(first)['status'] == status
    assert b'Content-Type: application/problem+json\r\n' in first
    assert place.ask('GET', '/').status == 200


def test_requests_follow_one_another_on_a_connection(place: Place) -> None:
    """Also after one that failed, and one whose body nobody read."""
    client = place.open()
    assert ask(client, 'GET', '/?a=1').payload == {'a': '1'}
    mine = client.sock
    assert ask(client, 'POST', '/', b'{', Content_Type='application/json').status == 400
    assert ask(client, 'PUT', '/', {'a': 2}).status == 405
    assert ask(client, 'POST', '/nowhere', {'a': 2}).status == 404
    assert ask(client, 'POST', '/', {'a': 3}).payload == {'a': 3}
    assert client.sock is mine
    client.close()


def test_requests_that_are_sent_ahead_are_answered_in_order(place: Place) -> None:
    """Pipelined, with bodies between."""
    sent = POST + b'Content-Length: 7\r\n\r\n{"a":1}' + GET + b'\r\n' + POST
    received = place.tell(sent + b'Content-Length: 7\r\n' + CLOSE + b'{"a":2}')
    bodies = [part.partition(b'\r\n\r\n')[2] for part in received.split(b'HTTP/1.1 200 OK')[1:]]
    assert bodies == [b'{"a":1}', b'{}', b'{"a":2}']


def test_a_body_may_come_in_chunks(place: Place) -> None:
    """With extensions and a trailer, in any pieces."""
    body = b'2\r\n{"\r\n3;x=y\r\na":\r\n2\r\n1}\r\n0\r\nA: b\r\n\r\n'
    sent = POST + b'Transfer-Encoding: chunked\r\n' + CLOSE + body
    assert payload_of(place.tell(*(sent[at : at + 7] for at in range(0, len(sent), 7)))) == {'a': 1}


def test_a_body_may_wait_to_be_asked_for(place: Place) -> None:
    """By 100 Continue, which one that is refused does not get."""
    head = POST + b'Expect: 100-continue\r\nContent-Length: 7\r\n\r\n'
    with place.connect() as client:
        client.sendall(head)
        assert client.recv(100) == b'HTTP/1.1 100 Continue\r\n\r\n'
        client.sendall(b'{"a":1}' + GET + CLOSE)
        received = rest_of(client)
    assert b'\r\n\r\n{"a":1}HTTP/1.1 200' in received
    refused = place.tell(POST + b'Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n')
    assert status_of(refused) == 413


@pytest.mark.parametrize('chunked', [False, True])
def test_who_sends_too_much_is_told_so(place: Place, chunked: bool) -> None:
    """Although it sends on: the answer arrives, and the rest is not kept."""
    piece = b'x' * 65_536
    framed = b'10000\r\n' + piece + b'\r\n'
    head = b'Transfer-Encoding: chunked' if chunked else b'Content-Length: 2097152'
    received = place.tell(POST + head + b'\r\n\r\n', *([framed if chunked else piece] * 20))
    assert status_of(received) == 413
    assert payload_of(received)['detail'] == 'wanted a body of at most 1 MB'


def test_an_old_client_is_answered(place: Place) -> None:
    """HTTP/1.0, whose connection ends with the answer; so does one that asks for that."""
    assert status_of(place.tell(b'GET / HTTP/1.0\r\n\r\n')) == 200
    assert status_of(place.tell(GET + CLOSE)) == 200


def test_an_upgrade_is_let_be(place: Place) -> None:
    """The request is answered as if it had not asked for one."""
    upgrade = b'Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 7\r\n\r\n{"a":1}'
    assert b'\r\n\r\n{"a":1}HTTP/1.1 200 OK' in place.tell(POST + upgrade + GET + CLOSE)


def test_a_proxys_form_of_a_request(place: Place) -> None:
    """With the whole address."""
    sent = b'GET http://a/?b=c HTTP/1.1\r\nHost: a\r\n' + CLOSE
    assert payload_of(place.tell(sent)) == {'b': 'c'}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without patience."""
    for name in ('HEAD_S', 'IDLE_S', 'PIECE_S'):
        monkeypatch.setattr(connection, name, 0.05)
    monkeypatch.setattr(connections, 'LOOK_S', 0.02)


@pytest.mark.parametrize(
    'sent',
    [
        b'',
        b'GET / HT',
        GET,
        GET + b'A: ',
        POST + b'Content-Length: 7\r\n\r\n{"a"',
        b'POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n{"a"',
    ],
)
def test_who_is_slow_is_let_go(hasty: None, place: Place, sent: bytes) -> None:
    """Wherever it stops; without an answer, or with one."""
    assert b'HTTP/1.1 200' not in place.tell(sent)


def test_who_sends_nothing_more_is_let_go(hasty: None, place: Place) -> None:
    """After an answer too."""
    with place.connect() as client:
        client.sendall(GET + b'\r\n')
        assert status_of(rest_of(client)) == 200


def test_who_does_not_read_is_let_go(hasty: None, serve: Serve) -> None:
    """With an answer that is larger than all buffers on the way."""
    with tasks(large=lambda payload: 'x' * 30_000_000) as module:
        place = serve(HTTPEntrypoint('GET', '/', Route(f'{module}.large')))
        with place.connect() as client:
            client.sendall(GET + b'\r\n')
            assert client.recv(1) == b'H'
            application = place.runner._service.entrypoints[0].site._connections
            deadline = time.monotonic() + 20
            while application._open and time.monotonic() < deadline:
                time.sleep(0.01)
            assert not application._open


def test_a_target_may_take_its_time(hasty: None, serve: Serve) -> None:
    """The client waits, and is not let go for that."""
    with tasks(wait=lambda payload: time.sleep(0.3)) as module:
        place = serve(HTTPEntrypoint('GET', '/', Route(f'{module}.wait')))
        assert place.ask('GET', '/').status == 204
