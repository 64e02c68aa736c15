"""Site: the end of a service that answers over HTTP, clients that go, and many of them."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from greenmicro.errors import StopTimeoutError
from greenmicro.http.entrypoints import HTTPEntrypoint
from greenmicro.routes import Route
from tests.fakes import tasks
from tests.http.conftest import Gate, Got, Place, Serve, ask, requests_of, wait_until
from tests.support.ports import accepts


def begin_stop(place: Place) -> Any:
    """Have the service stop, in a greenlet that ends with it."""
    return gevent.spawn(place.runner.__exit__, None, None, None)


@pytest.mark.parametrize(('mode', 'statuses'), [('thread', [200, 503]), ('greedy_thread', [200, 200])])
def test_a_stop_lets_what_runs_be_answered(serve: Serve, mode: str, statuses: list[int]) -> None:
    """What waits is given back to be sent again, or run, as the mode says; nobody else is let in."""
    gate = Gate()
    with tasks(gate=gate) as module:
        place = serve(HTTPEntrypoint('GET', '/', Route(f'{module}.gate')), WORKER_MODE=mode, MAX_WORKERS=1)
        idle = place.open()
        assert ask(idle, 'OPTIONS', '/').status == 204
        asked = [gevent.spawn(place.ask, 'GET', f'/?n={number}') for number in range(2)]
        gate.wait_for(1)
        wait_until(lambda: requests_of(place) == 2)
        stopping = begin_stop(place)
        assert idle.sock.recv(1) == b''
        idle.close()
        assert not accepts(place.port)
        gate.opened.set()
        got = [one.get(timeout=20) for one in asked]
        stopping.get(timeout=20)
    assert sorted(answer.status for answer in got) == statuses
    assert all(answer.headers['Connection'] == 'close' for answer in got)
    for answer in got:
        if answer.status == 503:
            assert (answer.headers['Retry-After'], answer.payload['detail']) == ('1', 'the service stops')


def test_what_still_runs_at_the_deadline_is_answered_too(serve: Serve) -> None:
    """With 503, since it may not have done its work."""
    gate = Gate()
    with tasks(gate=gate) as module:
        place = serve(HTTPEntrypoint('GET', '/', Route(f'{module}.gate')), STOP_TIMEOUT_S=0.1)
        asked = gevent.spawn(place.ask, 'GET', '/')
        gate.wait_for(1)
        with pytest.raises(StopTimeoutError):
            place.runner.__exit__(None, None, None)
        assert asked.get(timeout=20).status == 503


def test_what_comes_too_late_is_not_begun(serve: Serve) -> None:
    """A body that is still on its way when the stop begins."""
    gate = Gate()
    with tasks(gate=gate) as module:
        place = serve(*(HTTPEntrypoint(method, '/', Route(f'{module}.gate')) for method in ('GET', 'POST')))
        running = gevent.spawn(place.ask, 'GET', '/')
        gate.wait_for(1)
        with place.connect() as client:
            head = (
                b'POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{'
            )
            client.sendall(head)
            wait_until(lambda: requests_of(place) == 2)
            stopping = begin_stop(place)
            wait_until(lambda: not accepts(place.port))
            client.sendall(b'}')
            received = client.recv(4_096)
        gate.opened.set()
        assert running.get(timeout=20).status == 200
        stopping.get(timeout=20)
    assert received.startswith(b'HTTP/1.1 503')
    assert b'Connection: close\r\n' in received
    assert gate.inside == 1


def test_a_client_that_goes_leaves_its_work_to_be_done(serve: Serve) -> None:
    """And nothing of it disturbs the others."""
    gate = Gate()
    done = []

    def work(payload: Any) -> Any:
        gate(payload)
        done.append(payload)
        return payload

    with tasks(work=work) as module:
        place = serve(HTTPEntrypoint('GET', '/', Route(f'{module}.work')))
        with place.connect() as client:
            client.sendall(b'GET /?n=1 HTTP/1.1\r\nHost: a\r\n\r\n')
            gate.wait_for(1)
        gate.opened.set()
        assert place.ask('GET', '/?n=2').payload == {'n': '2'}
    assert {'n': '1'} in done


def test_more_clients_than_may_be_connected_wait(serve: Serve) -> None:
    """Until one of them goes; nobody is refused."""
    with tasks(echo=lambda payload: payload) as module:
        place = serve(HTTPEntrypoint('GET', '/', Route(f'{module}.echo')), MAX_REQUESTS=1)
        first, second = place.open(), place.open()
        assert ask(first, 'GET', '/').status == ask(second, 'GET', '/').status == 200
        third = gevent.spawn(place.ask, 'GET', '/')
        first.close()
        assert third.get(timeout=20).status == 200
        second.close()


def test_many_clients_at_once(serve: Serve) -> None:
    """Each gets its own answer, on connections that stay."""
    with tasks(echo=lambda payload: payload) as module:
        place = serve(HTTPEntrypoint('GET', '/', Route(f'{module}.echo')))

        def several(client: int) -> list[Got]:
            connection = place.open()
            got = [ask(connection, 'GET', f'/?c={client}&n={number}') for number in range(10)]
            connection.close()
            return got

        clients = [gevent.spawn(several, client) for client in range(50)]
        for number, client in enumerate(clients):
            payloads = [got.payload for got in client.get(timeout=20)]
            assert payloads == [{'c': str(number), 'n': str(n)} for n in range(10)]
