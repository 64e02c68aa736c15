"""Routes: which entrypoint gets a request, and what is told where there is none."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from greenmicro.http.entrypoints import HTTPEntrypoint
from greenmicro.http.routing import Routes, path_fault
from greenmicro.http.values import Answer
from greenmicro.routes import Route

ID = '00000000-0000-0000-0000-000000000007'
ENTRYPOINTS = {
    name: HTTPEntrypoint(method, path, Route(f'tasks.{name}'))
    for name, method, path in (
        ('get', 'GET', '/orders/<int:id>'),
        ('drop', 'DELETE', '/orders/<int:id>'),
        ('place', 'POST', '/orders'),
        ('file', 'GET', '/files/<path:name>'),
        ('part', 'GET', '/parts/<uuid:id>/<float:x>/<word>'),
        ('tree', 'GET', '/tree/'),
        ('root', 'GET', '/'),
        ('accent', 'GET', '/café'),
    )
}


@pytest.fixture
def routes() -> Routes:
    routes = Routes()
    for entrypoint in ENTRYPOINTS.values():
        routes.add(entrypoint)
    return routes


@pytest.mark.parametrize(
    ('method', 'path', 'name', 'parameters'),
    [
        ('GET', '/orders/7', 'get', {'id': 7}),
        ('HEAD', '/orders/7', 'get', {'id': 7}),
        ('DELETE', '/orders/7', 'drop', {'id': 7}),
        ('POST', '/orders', 'place', {}),
        ('POST', '/orders/', 'place', {}),
        ('GET', '/tree', 'tree', {}),
        ('GET', '/files/a/../b|c', 'file', {'name': 'a/../b|c'}),
        ('GET', f'/parts/{ID}/1.5/x y', 'part', {'id': uuid.UUID(ID), 'x': 1.5, 'word': 'x y'}),
        ('GET', '/', 'root', {}),
        ('GET', '/café', 'accent', {}),
    ],
)
def test_a_request_goes_to_its_entrypoint(
    routes: Routes, method: str, path: str, name: str, parameters: Any
) -> None:
    """With the variable parts of its path, converted."""
    assert routes.match(method, path) == (ENTRYPOINTS[name], parameters)


@pytest.mark.parametrize(
    ('method', 'path'),
    [('GET', '/orders/x'), ('GET', '/nothing'), ('OPTIONS', '/nothing'), ('GET', '*')],
)
def test_an_unknown_path_is_not_found(routes: Routes, method: str, path: str) -> None:
    """Nor is one whose parts are of another kind."""
    answer = routes.match(method, path)
    assert isinstance(answer, Answer)
    assert answer.status == 404


def test_another_method_is_told_which_there_are(routes: Routes) -> None:
    """HEAD where there is GET."""
    answer = routes.match('POST', '/orders/7')
    assert isinstance(answer, Answer)
    assert answer.status == 405
    assert ('Allow', 'DELETE, GET, HEAD, OPTIONS') in answer.headers


@pytest.mark.parametrize(('path', 'allow'), [('/orders', 'OPTIONS, POST'), ('*', 'OPTIONS')])
def test_options_tells_the_methods(routes: Routes, path: str, allow: str) -> None:
    """Of a path, or of none in particular."""
    assert routes.match('OPTIONS', path) == Answer(204, [('Allow', allow)], b'')


@pytest.mark.parametrize(
    'path',
    [7, '', 'orders', '/a?b=c', '/a#b', '/a\n', '/<int:id', '/<nothing:id>', '/<int:id>/<int:id>', '/<a b>'],
)
def test_a_path_that_is_none_is_a_fault(path: Any) -> None:
    """It says what was wanted."""
    fault = path_fault(path)
    assert fault is not None
    assert fault.startswith("wanted a path such as '/orders/<int:id>'")
    assert path_fault('/orders/<int:id>') is None
