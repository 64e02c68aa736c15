"""The layers of ARCHITECTURE.md: who may import whom, read from the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'greenmicro'

#: From the first, which imports nothing of ours, to the last; what is not listed stands with its folder.
#: A file imports only from those before its own, or from its own folder.
LAYERS = (
    *('errors', 'targets', 'uris', 'addresses', 'tls', 'messages', 'ids', 'delays', 'signals', 'retry'),
    *('kinds', 'modes', 'keys', 'settings', 'codecs', 'copies', 'dead_letters'),
    *('hops', 'translators', 'dependencies', 'injections', 'logs', 'limits', 'workers', 'routes'),
    *('hosting', 'fates', 'entrypoints', 'cron'),
    *('amqp.topology', 'amqp', 'rpc.protocol', 'rpc.entrypoints', 'rpc.dependencies'),
    *('pipe', 'progress', 'servicepipe', 'alarm', 'resident', 'child'),
    *('pools.base', 'pools', 'brokers.base', 'brokers.memory', 'brokers.rabbitmq', 'brokers'),
    'rpc',
    'standalone',
    *('clock', 'patching', 'watchdog', 'health', 'http', 'checks', 'service', 'runner', 'cli', '__main__'),
)
#: Of the root only this; its lazy names stand for modules, which are imported by their own.
OF_THE_ROOT = {'__version__'}
#: Who may import what is not of the standard library; a dot at the end stands for what is in a folder.
FOREIGN = {
    'gevent': (
        *('pools', 'pools.', 'brokers', 'brokers.'),
        *('http.application', 'http.connection', 'http.connections', 'http.site'),
        *('rpc.caller', 'clock', 'patching', 'watchdog', 'health', 'service', 'runner'),
    ),
    'greenlet': ('pools.', 'brokers.', 'http.connection'),
    'werkzeug': ('http.routing',),
    'kombu': ('brokers.rabbitmq.', 'cli.connection', 'cli.dead_queue'),
    'amqp': ('brokers.rabbitmq.', 'standalone.', 'cli.connection', 'cli.dead_queue'),
    'vine': ('brokers.rabbitmq.',),
    'click': ('cli.',),
    'cronsim': ('cron',),
}
#: Those in such folders that may not.
CONTRACTS = {'pools.base', 'brokers.base'}
#: The brokers know nothing of the workers, nor of one another.
STRANGERS = (
    ('brokers', 'pools'),
    ('brokers.memory', 'brokers.rabbitmq'),
    ('brokers.rabbitmq', 'brokers.memory'),
)


def modules() -> dict[str, Path]:
    """Module name, without the package's own, to its file."""
    names = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(PACKAGE).with_suffix('').parts
        names['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
    return names


def below(name: str, folder: str) -> bool:
    """Whether a module is one, or in the folder of that name."""
    return name == folder or name.startswith(f'{folder}.')


def layer(name: str) -> int | None:
    """The place of a module among the layers; None when nobody gave it one."""
    found = [number for number, one in enumerate(LAYERS) if below(name, one)]
    return min(found, default=None)


class Imports(ast.NodeVisitor):
    """Collects what a source imports, also inside functions; not what only type checkers see."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str | None]] = []

    def visit_If(self, node: ast.If) -> None:
        condition = node.test.attr if isinstance(node.test, ast.Attribute) else getattr(node.test, 'id', None)
        for statement in node.orelse if condition == 'TYPE_CHECKING' else [*node.body, *node.orelse]:
            self.visit(statement)

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [(alias.name, None) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.found += [('.' * node.level + (node.module or ''), alias.name) for alias in node.names]


def violations(name: str, source: str, known: set[str]) -> Iterator[str]:
    """Yield what a module imports and must not.

    Args:
        name: The module, without the package's own name.
        source: Its text.
        known: All modules of the package.
    """
    if name and layer(name) is None:
        yield f'{name} has no layer'
        return
    imports = Imports()
    imports.visit(ast.parse(source))
    for module, taken in imports.found:
        top = module.partition('.')[0]
        if top == 'greenmicro':
            yield from _of_ours(name, module, taken, known)
        elif not top:
            yield f'{name} imports {module} relatively'
        elif top not in sys.stdlib_module_names and not _allowed(name, top):
            yield f'{name} imports {top}'


def _of_ours(name: str, module: str, taken: str | None, known: set[str]) -> Iterator[str]:
    path = module.removeprefix('greenmicro').removeprefix('.')
    inner = f'{path}.{taken}' if path else str(taken)
    other = inner if inner in known else path
    if not other:
        if taken not in OF_THE_ROOT:
            yield f'{name} imports {taken} of the root'
        return
    ours, theirs = layer(name), layer(other)
    # The root is before all of them.
    if ours is None or theirs is None or theirs > ours:
        yield f'{name} imports {other}, which is below it'
    elif any(below(name, one) and below(other, another) for one, another in STRANGERS):
        yield f'{name} imports {other}, a stranger to it'


def _allowed(name: str, top: str) -> bool:
    places = FOREIGN.get(top, ())
    within = any(name == place or (place.endswith('.') and name.startswith(place)) for place in places)
    return within and name not in CONTRACTS


@pytest.mark.parametrize('name', modules())
def test_a_file_imports_only_from_the_layers_above_it(name: str) -> None:
    """And of other packages only what its place allows."""
    known = modules()
    assert list(violations(name, known[name].read_text(), {*known})) == []


def test_every_layer_is_there() -> None:
    """A file that was renamed takes its layer along."""
    known = modules()
    assert [one for one in LAYERS if not any(below(name, one) for name in known)] == []


@pytest.mark.parametrize(
    ('name', 'source', 'fault'),
    [
        ('errors', 'import greenmicro.messages', 'errors imports messages, which is below it'),
        ('errors', 'from greenmicro.messages import Message', 'errors imports messages, which is below it'),
        ('errors', 'from greenmicro import messages', 'errors imports messages, which is below it'),
        (
            'errors',
            'def f():\n  from greenmicro import messages',
            'errors imports messages, which is below it',
        ),
        (
            'errors',
            'if x:\n  pass\nelse:\n  import greenmicro.routes',
            'errors imports routes, which is below it',
        ),
        (
            'errors',
            'if TYPE_CHECKING:\n  pass\nelse:\n  import greenmicro.routes',
            'errors imports routes, which is below it',
        ),
        (
            'errors',
            'try:\n  import greenmicro.routes\nexcept E: pass',
            'errors imports routes, which is below it',
        ),
        ('workers', 'from greenmicro.routes import Route', 'workers imports routes, which is below it'),
        ('entrypoints', 'import greenmicro.amqp', 'entrypoints imports amqp, which is below it'),
        ('amqp.topology', 'import greenmicro.amqp.entrypoints', 'amqp.topology imports amqp.entrypoints'),
        (
            'pools.base',
            'from greenmicro.pools import pool_class',
            'pools.base imports pools, which is below it',
        ),
        (
            'pools.greenlets',
            'from greenmicro import service',
            'pools.greenlets imports service, which is below it',
        ),
        (
            'brokers.memory',
            'from greenmicro.pools.base import Pool',
            'brokers.memory imports pools.base, a stranger',
        ),
        (
            'brokers.rabbitmq.wire',
            'import greenmicro.brokers.memory.wire',
            'brokers.rabbitmq.wire imports brokers.m',
        ),
        (
            'brokers.memory.wire',
            'import greenmicro.brokers.rabbitmq',
            'brokers.memory.wire imports brokers.rabbitmq',
        ),
        ('service', 'from greenmicro import Route', 'service imports Route of the root'),
        ('service', 'from greenmicro import *', 'service imports * of the root'),
        ('service', 'from . import routes', 'service imports . relatively'),
        ('service', 'from .routes import Route', 'service imports .routes relatively'),
        ('', 'import greenmicro.errors', ' imports errors, which is below it'),
        ('service', 'import kombu', 'service imports kombu'),
        ('amqp.topology', 'from amqp.spec import Basic', 'amqp.topology imports amqp'),
        ('brokers.memory', 'import kombu.utils.url', 'brokers.memory imports kombu'),
        ('brokers.base', 'import gevent', 'brokers.base imports gevent'),
        ('pools.base', 'from gevent.event import Event', 'pools.base imports gevent'),
        ('workers', 'def f():\n  import gevent', 'workers imports gevent'),
        ('amqp.dependencies', 'import gevent', 'amqp.dependencies imports gevent'),
        ('child', 'import gevent', 'child imports gevent'),
        ('pipe', 'import greenlet', 'pipe imports greenlet'),
        ('runner', 'import requests', 'runner imports requests'),
        ('pools.greenlets', 'import psutil', 'pools.greenlets imports psutil'),
        ('helpers', 'import os', 'helpers has no layer'),
    ],
)
def test_a_planted_violation_is_found(name: str, source: str, fault: str) -> None:
    """Wherever in a file it stands, and however it is written."""
    (only,) = violations(name, source, {*modules()})
    assert only.startswith(fault)


@pytest.mark.parametrize(
    ('name', 'source'),
    [
        ('errors', 'from __future__ import annotations\nimport os, collections.abc'),
        ('workers', 'if TYPE_CHECKING:\n  from greenmicro.routes import Route'),
        ('workers', 'import typing\nif typing.TYPE_CHECKING:\n  import gevent'),
        ('workers', 'from greenmicro import codecs, targets'),
        ('amqp.entrypoints', 'from greenmicro.amqp.topology import Queue'),
        ('pools.processes', 'from greenmicro.pools.children import Child\nimport gevent'),
        ('brokers.rabbitmq.wire', 'import amqp, kombu, gevent'),
        (
            'brokers.memory',
            'from greenmicro.brokers.memory.wire import x\nfrom greenmicro.amqp import topology',
        ),
        ('service', 'from greenmicro.pools import pool_class\nfrom greenmicro.clock import tick_for_ever'),
        ('runner', 'from greenmicro import __version__, patching'),
        ('runner', 'import gevent'),
    ],
)
def test_what_is_allowed_is_not(name: str, source: str) -> None:
    """Upwards, within a folder, and what only type checkers see."""
    assert list(violations(name, source, {*modules()})) == []
