"""Application: how much it takes on at a time."""

from __future__ import annotations

import gevent
import pytest

from greenmicro.http import application
from greenmicro.http.entrypoints import HTTPEntrypoint
from greenmicro.routes import Route
from tests.fakes import tasks
from tests.http.conftest import Gate, Serve, requests_of, wait_until


def test_too_many_requests_are_to_come_again(serve: Serve) -> None:
    """At once, while those before them are worked on."""
    gate = Gate()
    with tasks(gate=gate) as module:
        place = serve(HTTPEntrypoint('GET', '/', Route(f'{module}.gate')), MAX_REQUESTS=2, MAX_WORKERS=1)
        asked = [gevent.spawn(place.ask, 'GET', '/') for _ in range(2)]
        wait_until(lambda: requests_of(place) == 2)
        refused = place.ask('GET', '/')
        gate.opened.set()
        assert [one.get(timeout=20).status for one in asked] == [200, 200]
        assert place.ask('GET', '/').status == 200
    assert (refused.status, refused.headers['Retry-After']) == (503, '1')
    assert refused.payload['detail'] == 'too many requests wait'


def test_bodies_of_all_together_have_a_bound(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes over it is to come again; what was held is let go of."""
    monkeypatch.setattr(application, 'HELD_MOST', 0)
    gate = Gate()
    body = b'"' + b'x' * 600_000 + b'"'
    with tasks(gate=gate) as module:
        place = serve(HTTPEntrypoint('POST', '/', Route(f'{module}.gate')), MAX_REQUEST_MB=1)
        first = gevent.spawn(place.ask, 'POST', '/', body, Content_Type='application/json')
        gate.wait_for(1)
        second = place.ask('POST', '/', body, Content_Type='application/json')
        gate.opened.set()
        assert (second.status, second.headers['Retry-After']) == (503, '1')
        assert first.get(timeout=20).status == 200
        assert place.ask('POST', '/', body, Content_Type='application/json').status == 200
