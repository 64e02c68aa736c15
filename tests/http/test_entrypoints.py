"""HTTPEntrypoint: what a target gets, what it answers, and how failures are told; over a real socket."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from greenmicro.dependencies import Context
from greenmicro.errors import ConfigError, PayloadError
from greenmicro.http.dependencies import HTTPRequest
from greenmicro.http.entrypoints import HTTPEntrypoint
from greenmicro.http.signals import HTTPError
from greenmicro.http.values import Request, Response
from greenmicro.routes import Route
from greenmicro.runner import Runner
from greenmicro.signals import Reject, RetryLater
from greenmicro.translators import MessageTranslator
from greenmicro.workers import Worker
from tests.fakes import settings, tasks
from tests.http.conftest import Serve
from tests.support.ports import free_port

ID = '00000000-0000-0000-0000-000000000007'


def echo(payload: Any, **parameters: Any) -> Any:
    return [payload, parameters]


def test_a_body_is_the_payload_and_a_value_the_answer(serve: Serve) -> None:
    """JSON both ways, with the parts of the path by keyword."""
    with tasks(echo=echo) as module:
        place = serve(HTTPEntrypoint('PUT', '/orders/<int:id>', Route(f'{module}.echo')))
        got = place.ask('PUT', '/orders/7?ignored=1', {'town': 'Århus'})
    assert (got.status, got.payload) == (200, [{'town': 'Århus'}, {'id': 7}])
    assert got.headers['Content-Type'] == 'application/json'


@pytest.mark.parametrize(
    ('content_type', 'body', 'payload'),
    [
        ('application/json; charset=utf-8', b'{"a": 1}', {'a': 1}),
        ('application/vnd.shop+json', b'[1]', [1]),
        ('text/plain', 'é'.encode(), 'é'),
        ('text/plain; charset=latin-1', b'\xe9', 'é'),
    ],
)
def test_a_body_is_what_its_content_type_says(
    serve: Serve, content_type: str, body: bytes, payload: Any
) -> None:
    """Text as text, and JSON under the names that it has."""
    with tasks(echo=echo) as module:
        place = serve(HTTPEntrypoint('POST', '/', Route(f'{module}.echo')))
        got = place.ask('POST', '/', body, Content_Type=content_type)
    assert got.payload == [payload, {}]


@pytest.mark.parametrize('method', ['GET', 'POST', 'DELETE'])
def test_without_a_body_the_query_is_the_payload(serve: Serve, method: str) -> None:
    """The first of each name, as text."""
    with tasks(echo=echo) as module:
        place = serve(HTTPEntrypoint(method, '/', Route(f'{module}.echo')))
        assert place.ask(method, '/?a=1&a=2&b=%C3%A9').payload == [{'a': '1', 'b': 'é'}, {}]
        assert place.ask(method, '/').payload == [{}, {}]


def test_a_raw_body_is_bytes(serve: Serve) -> None:
    """Whatever its content type; without a body, no bytes."""

    def measure(body: bytes) -> Any:
        return [type(body).__name__, len(body)]

    with tasks(measure=measure) as module:
        place = serve(HTTPEntrypoint('POST', '/', Route(f'{module}.measure'), raw=True))
        assert place.ask('POST', '/', b'a=1&b=2', Content_Type='image/png').payload == ['bytes', 7]
        assert place.ask('POST', '/', b'{}', Content_Type='application/json').payload == ['bytes', 2]
        assert place.ask('POST', '/').payload == ['bytes', 0]


def test_a_response_says_all_of_it(serve: Serve) -> None:
    """Status, headers, body; None is no content."""

    def place_order(order: Any) -> Any:
        return Response({'id': 7}, 201, {'Location': '/orders/7', 'Set-Cookie': ['a=1', 'b=2']})

    with tasks(place_order=place_order, nothing=lambda payload: None) as module:
        place = serve(
            HTTPEntrypoint('POST', '/orders', Route(f'{module}.place_order')),
            HTTPEntrypoint('DELETE', '/orders', Route(f'{module}.nothing')),
        )
        got = place.ask('POST', '/orders', {})
        gone = place.ask('DELETE', '/orders')
    assert (got.status, got.payload, got.headers['Location']) == (201, {'id': 7}, '/orders/7')
    assert got.headers.get_all('Set-Cookie') == ['a=1', 'b=2']
    assert (gone.status, gone.body, gone.headers['Content-Length']) == (204, b'', None)


def test_a_target_may_ask_for_the_request(serve: Serve) -> None:
    """All of it, as it came."""

    def find(query: Any, name: str, request: Request) -> Any:
        first = [request.method, request.path, request.query, request.parameters, request.client]
        return [*first, request.headers['x-a'], request.body.decode()]

    with tasks(find=find) as module:
        route = Route(f'{module}.find', dependencies={'request': HTTPRequest()})
        place = serve(
            HTTPEntrypoint('GET', '/files/<path:name>', route),
            HTTPEntrypoint('PUT', '/files/<path:name>', route),
        )
        got = place.ask('GET', '/files/a/caf%C3%A9?t=1&t=2', X_A='b')
        put = place.ask('PUT', '/files/a', {'b': 1}, X_A='c')
    assert got.payload == [
        'GET', '/files/a/café', {'t': ['1', '2']}, {'name': 'a/café'}, '127.0.0.1', 'b', '',
    ]  # fmt: skip
    assert put.payload[-2:] == ['c', '{"b": 1}']


def test_the_context_comes_with_the_headers(serve: Serve) -> None:
    """Chain, data and trace; the message has the request's id, and the answer says it."""

    def tell(query: Any, context: Any) -> Any:
        context_of_message = context.message.message_id, context.entrypoint
        return [context.call_id_stack, context.headers, *context_of_message]

    with tasks(tell=tell) as module:
        place = serve(
            HTTPEntrypoint('GET', '/', Route(f'{module}.tell', dependencies={'context': Context()}))
        )
        headers = {
            'nameko.call_id_stack': 'a.b.1, c.d.2',
            'nameko.user_id': '9',
            'traceparent': '00-x',
            'X-Request-Id': 'mine-7',
        }
        got = place.ask('GET', '/', **headers)
        other = place.ask('GET', '/', **{'X-Request-Id': 'not "mine"'})
    stack, data, message_id, entrypoint = got.payload
    assert stack[:2] == ['a.b.1', 'c.d.2']
    assert stack[2].startswith('shop.tell.')
    assert data == {'user_id': '9', 'traceparent': '00-x'}
    assert (message_id, entrypoint) == ('mine-7', f'HTTPEntrypoint -> {module}.tell')
    assert got.headers['X-Request-Id'] == 'mine-7'
    assert other.headers['X-Request-Id'] == other.payload[2] != 'not "mine"'


def test_head_and_options_are_answered(serve: Serve) -> None:
    """HEAD as GET without the body, OPTIONS without the target."""
    with tasks(echo=echo) as module:
        place = serve(HTTPEntrypoint('GET', '/orders', Route(f'{module}.echo')))
        got, head = place.ask('GET', '/orders'), place.ask('HEAD', '/orders')
        options = place.ask('OPTIONS', '/orders')
    assert (head.status, head.body) == (200, b'')
    assert head.headers['Content-Length'] == got.headers['Content-Length'] == str(len(got.body))
    assert (options.status, options.headers['Allow']) == (204, 'GET, HEAD, OPTIONS')


class Choosy(MessageTranslator):
    """Validates, as a translator may."""

    def translate(self, payload: Any, context: Any) -> Any:
        if 'town' not in payload:
            raise PayloadError('town is missing')
        if payload['town'] == 'Atlantis':
            raise HTTPError(409, 'sunk')
        return payload['town']


def test_failures_are_problems(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """With the status that says whose they are; a traceback is in the log and nowhere else."""
    raised = {
        'Cork': HTTPError(404, 'no such town', {'X-A': 'b'}, town='Cork'),
        'Delft': Reject('we do not ship there'),
        'Essen': RetryLater(7),
        'Faro': LookupError('secret'),
        'Ghent': SystemExit('secret'),
    }

    def ship(town: str) -> Any:
        if town in raised:
            raise raised[town]
        return object() if town == 'Izmir' else town

    caplog.set_level(logging.INFO)
    with tasks(ship=ship) as module:
        place = serve(HTTPEntrypoint('POST', '/', Route(f'{module}.ship', translators=[Choosy()])))
        found = {town: place.ask('POST', '/', {'town': town}) for town in (*raised, 'Atlantis', 'Izmir')}
        found |= {
            'broken': place.ask('POST', '/', b'{', Content_Type='application/json'),
            'pickled': place.ask('POST', '/', b'x', Content_Type='application/x-python-serialize'),
            'untyped': place.ask('POST', '/', b'x'),
            'missing': place.ask('POST', '/', {}),
            'fine': place.ask('POST', '/', {'town': 'Bergen'}),
        }
    assert {name: got.status for name, got in found.items()} == {
        'Cork': 404, 'Delft': 422, 'Essen': 503, 'Faro': 500, 'Ghent': 500, 'Atlantis': 409, 'Izmir': 500,
        'broken': 400, 'pickled': 415, 'untyped': 415, 'missing': 422, 'fine': 200,
    }  # fmt: skip
    assert found['Cork'].payload == {
        'title': 'Not Found',
        'status': 404,
        'detail': 'no such town',
        'town': 'Cork',
    }
    assert found['Cork'].headers['Content-Type'] == 'application/problem+json'
    assert found['Cork'].headers['X-A'] == 'b'
    assert found['Essen'].headers['Retry-After'] == '7'
    assert found['Delft'].payload['detail'] == 'we do not ship there'
    assert 'character 1' in found['broken'].payload['detail']
    assert found['missing'].payload['detail'] == 'town is missing'
    assert not any(b'secret' in got.body or b'Traceback' in got.body for got in found.values())
    levels = {record.levelno: record.getMessage() for record in caplog.records if 'failed' in record.msg}
    assert 'LookupError: secret' in caplog.text
    assert 'Traceback' not in levels[logging.INFO]
    assert 'Traceback' in levels[logging.ERROR]


def test_a_time_limit_is_a_504(serve: Serve) -> None:
    """And the next request is served."""
    import gevent

    def wait(query: Any) -> None:
        gevent.sleep(0 if query else 60)

    with tasks(wait=wait) as module:
        place = serve(HTTPEntrypoint('GET', '/', Route(f'{module}.wait', timeout_s=0.05)))
        assert place.ask('GET', '/').status == 504
        assert place.ask('GET', '/?a=1').status == 204


def test_arguments_that_do_not_fit_are_the_services_own_fault(serve: Serve) -> None:
    """No client chooses their names."""
    with tasks(one=lambda payload: payload) as module:
        place = serve(HTTPEntrypoint('GET', '/<id>', Route(f'{module}.one')))
        got = place.ask('GET', '/7')
    assert (got.status, got.payload) == (500, {'title': 'Internal Server Error', 'status': 500})


class Loose(Worker):
    """A user's own, with an outcome that is no answer."""

    def run(self, message: Any) -> Any:
        return super().run(message)._replace(result='loose')


def test_what_a_worker_of_the_users_own_makes_may_be_no_answer(serve: Serve) -> None:
    """The client is told, and does not wait for ever."""
    with tasks(echo=echo) as module:
        place = serve(HTTPEntrypoint('GET', '/', Route(f'{module}.echo', worker_class=Loose)))
        assert place.ask('GET', '/').status == 500


def faults_of(*arguments: Any, **config: Any) -> list[str]:
    return list(HTTPEntrypoint(*arguments).faults(settings(**config)))


def test_it_says_what_is_wrong_with_it() -> None:
    """Before anything starts."""
    assert faults_of('GET', '/orders/<int:id>', Route('tasks.get')) == []
    assert faults_of('get', '/', Route('tasks.get')) == [
        "method: wanted one of GET, POST, PUT, PATCH, DELETE, found 'get'"
    ]
    assert faults_of('GET', '/<nope:id>', Route('tasks.get')) == [
        "path: wanted a path such as '/orders/<int:id>', found '/<nope:id>' "
        "(the converter 'nope' does not exist)"
    ]
    assert faults_of('GET', '/<int:id>', Route('tasks.get', dependencies={'id': HTTPRequest()})) == [
        'path: <id> has the name of a dependency; the target takes both by keyword'
    ]
    both = {'HTTP_ADDRESS': ':8080', 'HEALTH_ADDRESS': ':8080'}
    assert faults_of('GET', '/', Route('tasks.get'), **both) == [
        'HTTP_ADDRESS and HEALTH_ADDRESS: wanted two, found :8080 for both'
    ]
    assert faults_of('GET', '/', Route('tasks.get'), MAX_REQUEST_MB=65) == [
        'MAX_REQUEST_MB: wanted at most 64 as MAX_BODY_MB has it, found 65'
    ]


def test_without_werkzeug_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    import sys

    for name in [name for name in sys.modules if name.startswith(('werkzeug', 'greenmicro.http.routing'))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'werkzeug', None)
    assert faults_of('GET', '/', Route('tasks.get')) == [
        "it needs werkzeug, which is not installed: pip install 'greenmicro[http]'"
    ]


def test_a_request_is_one_entrypoints_alone() -> None:
    """Whatever it calls the parts of the path."""
    shop = settings()
    get, same, drop = (
        HTTPEntrypoint(method, path, Route('tasks.get')).claim(shop)
        for method, path in (('GET', '/a/<int:id>'), ('GET', '/a/<int:number>'), ('DELETE', '/a/<int:id>'))
    )
    assert get == same == 'HTTP GET /a/<int>'
    assert drop != get
    assert HTTPEntrypoint('GET', '/a/<x>', Route('tasks.get')).claim(shop) == 'HTTP GET /a/<>'


def test_the_start_log_has_the_address(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """To be clicked at."""
    caplog.set_level(logging.INFO)
    with tasks(echo=echo) as module:
        place = serve(HTTPEntrypoint('GET', '/orders/<id>', Route(f'{module}.echo')))
    assert f'GET http://127.0.0.1:{place.port}/orders/<id> -> {module}.echo' in caplog.text


def test_an_address_in_use_stops_the_start(serve: Serve) -> None:
    """It names the setting; nothing stays open."""
    with tasks(echo=echo) as module:
        route = Route(f'{module}.echo')
        place = serve(HTTPEntrypoint('GET', '/', route))
        address = f'127.0.0.1:{place.port}'
        with (
            pytest.raises(ConfigError, match=rf'HTTP_ADDRESS: cannot listen on {address} \(Addr'),
            Runner(
                [HTTPEntrypoint('GET', '/', route)],
                {'AMQP_URI': 'memory://other', 'SERVICE_NAME': 'other', 'HTTP_ADDRESS': address},
            ),
        ):
            raise AssertionError('it started')


def test_an_entrypoint_that_never_started_is_closed(serve: Serve) -> None:
    """Its port is free again when a later one could not be set up."""

    class Broken(HTTPEntrypoint):
        def setup(self, service: Any) -> None:
            raise ConfigError('broken')

    port = free_port()
    with tasks(echo=echo) as module:
        route = Route(f'{module}.echo')
        with (
            pytest.raises(ConfigError, match='broken'),
            Runner(
                [HTTPEntrypoint('GET', '/', route), Broken('GET', '/b', route)],
                {'AMQP_URI': 'memory://other', 'SERVICE_NAME': 'other', 'HTTP_ADDRESS': f'127.0.0.1:{port}'},
            ),
        ):
            raise AssertionError('it started')
        assert serve(HTTPEntrypoint('GET', '/', route), HTTP_ADDRESS=f'127.0.0.1:{port}')
