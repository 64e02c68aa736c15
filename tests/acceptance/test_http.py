"""HTTP as its users see it, in all modes: answers of each kind, a dead child, a stop under load."""

from __future__ import annotations

import http.client
import json
import re
import signal
import threading
from typing import Any

from tests.acceptance.conftest import Write
from tests.support.ports import free_port
from tests.support.program import Program

IMPORTS = 'from greenmicro import Context, HTTPEntrypoint, HTTPRequest'
ENTRYPOINTS = """[
    HTTPEntrypoint('GET', '/orders/<int:id>', route=Route('tasks.get', dependencies={'context': Context()})),
    HTTPEntrypoint('POST', '/orders', route=Route('tasks.place', dependencies={'request': HTTPRequest()})),
    HTTPEntrypoint('GET', '/fail/<how>', route=Route('tasks.fail', timeout_s=0.2)),
    HTTPEntrypoint('GET', '/wait', route=Route('tasks.wait')),
]"""
TASKS = """
import datetime, os, signal, time
from greenmicro import HTTPError, Reject, Response

def get(query, id, context):
    return {'id': id, 'query': query, 'user': context.headers.get('user_id'),
            'at': datetime.date(2026, 1, 2), 'call': context.call_id}

def place(order, request):
    return Response(order, 201, {'Location': '/orders/7', 'X-Agent': request.headers['x-agent']})

def fail(query, how):
    if how == 'own':
        raise HTTPError(404, 'no such order', {'X-A': 'b'}, order=7)
    if how == 'reject':
        raise Reject('not here')
    if how == 'late':
        time.sleep(60)
    if how == 'die':
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError('secret')

def wait(query):
    print('waiting', query['n'], flush=True)
    time.sleep(0.02)
    return query
"""


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    """The status, the payload and the headers of an answer."""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
    try:
        content = None if body is None else json.dumps(body)
        if body is not None:
            headers['Content-Type'] = 'application/json'
        connection.request(method, path, content, headers)
        response = connection.getresponse()
        received = response.read()
        return response.status, json.loads(received) if received else None, response.headers
    finally:
        connection.close()


def serve(write: Write, mode: str, port: int, **config: Any) -> Program:
    """A service that answers on a port; it is not started."""
    return write(
        'memory://',
        mode,
        tasks=TASKS,
        entrypoints=ENTRYPOINTS,
        imports=IMPORTS,
        HTTP_ADDRESS=f'127.0.0.1:{port}',
        **config,
    )


def test_requests_are_answered(mode: str, write: Write) -> None:
    """In all modes alike: values, responses, the context, and each kind of failure."""
    port = free_port()
    with serve(write, mode, port) as program:
        program.wait_for('ready')
        status, payload, _ = ask(port, 'GET', '/orders/7?a=b', **{'nameko.user_id': '9'})
        assert payload.pop('call').startswith('service.get.')
        assert (status, payload) == (
            200,
            {'id': 7, 'query': {'a': 'b'}, 'user': '9', 'at': '2026-01-02'},
        )
        status, payload, headers = ask(port, 'POST', '/orders', {'town': 'Cork'}, **{'X-Agent': 'me'})
        assert (status, payload) == (201, {'town': 'Cork'})
        assert (headers['Location'], headers['X-Agent']) == ('/orders/7', 'me')

        status, payload, headers = ask(port, 'GET', '/fail/own')
        assert (status, payload['detail'], payload['order'], headers['X-A']) == (404, 'no such order', 7, 'b')
        assert ask(port, 'GET', '/fail/reject')[:2] == (
            422,
            {'title': 'Unprocessable Entity', 'status': 422, 'detail': 'not here'},
        )
        assert ask(port, 'GET', '/fail/other')[:2] == (500, {'title': 'Internal Server Error', 'status': 500})
        assert ask(port, 'GET', '/fail/late')[0] == 504
        if 'process' in mode:
            assert ask(port, 'GET', '/fail/die')[0] == 502
            assert ask(port, 'GET', '/orders/7')[0] == 200
        assert program.stop() == 0
        assert program.survivors() == []
    assert 'ValueError: secret' in program.output


def keep_asking(port: int, answers: list[int]) -> None:
    """Ask until nobody answers any more."""
    while True:
        try:
            answers.append(ask(port, 'GET', f'/wait?n={len(answers)}')[0])
        except OSError:
            return  # refused, or closed before the request was read


def test_a_stop_under_load_answers_what_it_ran(mode: str, write: Write) -> None:
    """Each run of the target is an answer; what was let in and not run is told so; nobody waits for ever."""
    port = free_port()
    answers: list[int] = []
    with serve(write, mode, port, MAX_WORKERS=2) as program:
        program.wait_for('ready')
        clients = [threading.Thread(target=keep_asking, args=(port, answers)) for _ in range(6)]
        for client in clients:
            client.start()
        program.wait_for(re.compile('(waiting.*){10}', re.DOTALL))
        program.signal(signal.SIGTERM)
        for client in clients:
            client.join(20)
        assert program.wait() == 0
        assert program.survivors() == []
    assert answers.count(200) == program.output.count('waiting') >= 10
    assert set(answers) <= {200, 503}
