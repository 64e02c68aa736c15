"""Orders over HTTP, in all modes."""

import http.client
import json
import shutil
import signal

import pytest

from tests.examples import EXAMPLES
from tests.support.ports import free_port
from tests.support.program import Program


@pytest.fixture
def folder(tmp_path):
    """The example, where it may leave its files."""
    ignored = shutil.ignore_patterns('orders', '__pycache__')
    return shutil.copytree(EXAMPLES / 'http', tmp_path / 'http', ignore=ignored)


@pytest.mark.parametrize('mode', ['thread', 'greedy_thread', 'process', 'greedy_process'])
def test_orders_are_placed_and_found(mode, folder):
    """By five kinds of requests; what is wrong with one is told."""
    port = free_port()
    environment = {'GREENMICRO_WORKER_MODE': mode, 'GREENMICRO_HTTP_ADDRESS': f'127.0.0.1:{port}'}
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20)

    def ask(method, path, body=None, kind='application/json'):
        connection.request(method, path, body, {'Content-Type': kind} if body else {})
        response = connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else None

    with Program(folder, environment=environment) as program:
        program.wait_for('ready after')
        assert ask('POST', '/orders', '{"town": "Cork"}') == (201, {'id': 1})
        assert ask('POST', '/orders', '{"town": "Delft"}') == (201, {'id': 2})
        assert ask('POST', '/orders', '{}')[0] == 422
        assert ask('GET', '/orders/1') == (200, {'id': 1, 'town': 'Cork'})
        assert ask('GET', '/orders?town=Delft') == (200, [{'id': 2, 'town': 'Delft'}])
        assert ask('PUT', '/orders/1/photo', b'\x89PNG', 'image/png') == (
            200,
            {'bytes': 4, 'type': 'image/png'},
        )
        assert ask('DELETE', '/orders/1') == (204, None)
        assert ask('GET', '/orders/1') == (
            404,
            {'title': 'Not Found', 'status': 404, 'detail': 'there is no such order', 'order': 1},
        )
        assert ask('GET', '/orders/one')[0] == 404
        assert ask('PATCH', '/orders/1', '{}')[0] == 405
        connection.close()
        program.signal(signal.SIGINT)
        assert program.wait() == 0
        assert program.survivors() == []
