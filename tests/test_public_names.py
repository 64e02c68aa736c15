"""The public names: what they are called, how they are built, and that naming them does nothing else."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

import greenmicro
from greenmicro.runner import Runner

NAMES = {
    'Context',
    'CronEntrypoint',
    'Dependency',
    'Entrypoint',
    'EventListener',
    'HTTPEntrypoint',
    'HTTPError',
    'HTTPRequest',
    'MessageTranslator',
    'Producer',
    'Publisher',
    'QueueListener',
    'RPCListener',
    'RPCProxy',
    'Reject',
    'Request',
    'Response',
    'Retry',
    'RetryLater',
    'Route',
    'TimeEntrypoint',
    'Worker',
    'WorkerContext',
    '__version__',
}
NOTHING = """
import sys
for name in ('gevent', 'kombu', 'amqp', 'werkzeug'):  # greenlet is what coverage imports
    assert name not in sys.modules, name
import time, socket
assert type(time.sleep).__name__ == 'builtin_function_or_method'
assert socket.socket.__module__ == 'socket'
"""


def run(program: str) -> None:
    """Run a program in a process of its own; whatever is warned of ends it."""
    command = [sys.executable, '-W', 'error', '-c', program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, '')


def test_the_names_are_these() -> None:
    """A new one is a promise; Runner is there but not listed, as a star import must not patch."""
    assert set(greenmicro.__all__) == NAMES
    assert len(greenmicro.__all__) == len(NAMES)
    assert greenmicro.Runner is Runner


def test_there_are_no_others() -> None:
    """A misspelt name is an AttributeError like any module's."""
    with pytest.raises(AttributeError, match="module 'greenmicro' has no attribute 'Runer'"):
        greenmicro.Runer  # noqa: B018


@pytest.mark.parametrize(
    ('name', 'signature'),
    [
        ('Runner', '(entrypoints, config)'),
        ('Entrypoint', '(route=None)'),
        ('TimeEntrypoint', '(interval_s, route=None, eager=False, once=None)'),
        (
            'EventListener',
            '(source_service, event_name, route=None, queue=None, queue_type=None, '
            "kind='pool', identifier=None)",
        ),
        (
            'QueueListener',
            "(queue, route=None, exchange=None, routing_key='', declare=True, queue_type=None, "
            'arguments=None)',
        ),
        ('CronEntrypoint', '(expression, route=None, tz=None, once=None)'),
        ('Publisher', "(exchange='')"),
        ('RPCListener', '(route=None, method=None)'),
        ('RPCProxy', '(service, timeout_s=None)'),
        ('Producer', '()'),
        ('Dependency', '()'),
        ('MessageTranslator', '()'),
        ('RetryLater', '(delay_s)'),
        ('Reject', '(reason)'),
        (
            'Retry',
            '(max_attempts=5, initial_delay_s=1.0, factor=2.0, max_delay_s=600.0, jitter=0.5, '
            "on=(<class 'BaseException'>,), give_up_on=())",
        ),
    ],
)
def test_they_are_built_like_this(name: str, signature: str) -> None:
    """As the README has them."""
    found = inspect.signature(getattr(greenmicro, name))
    bare = [one.replace(annotation=inspect.Parameter.empty) for one in found.parameters.values()]
    shown = found.replace(parameters=bare, return_annotation=inspect.Signature.empty)
    assert str(shown) == signature


def test_a_route_is_built_like_this() -> None:
    """Its target first; the others can be named, and a time limit and what failure leads to must be."""
    parameters = inspect.signature(greenmicro.Route).parameters
    assert list(parameters) == [
        'target',
        'dependencies',
        'translators',
        'worker_class',
        'retry',
        'timeout_s',
        'on_error',
    ]
    assert parameters['retry'].default is None
    assert parameters['timeout_s'].default is None
    assert parameters['worker_class'].default is greenmicro.Worker
    assert parameters['on_error'].default == 'dead_letter'


@pytest.mark.parametrize(
    ('owner', 'methods'),
    [
        ('Runner', 'start stop __enter__ __exit__'),
        ('Entrypoint', 'setup start stop receive arguments settle'),
        ('Worker', 'decode translate inject call run'),
        ('Dependency', 'provide setup_worker teardown_worker'),
        ('MessageTranslator', 'translate'),
    ],
)
def test_their_hooks_are_these(owner: str, methods: str) -> None:
    """Each has a docstring, since users override it."""
    for method in methods.split():
        hook: Any = getattr(getattr(greenmicro, owner), method)
        assert method.startswith('__exit') or inspect.getdoc(hook)


def test_naming_them_patches_nothing() -> None:
    """Import, star import, every listed name, dir(): no gevent, and nothing patched."""
    run(
        'import greenmicro\nfrom greenmicro import *\n'
        'assert [getattr(greenmicro, name) for name in greenmicro.__all__]\n'
        'assert Route and EventListener and __version__\ndir(greenmicro)\n' + NOTHING
    )


def test_importing_the_package_imports_none_of_it() -> None:
    """Its names load when they are used."""
    run("import sys, greenmicro\nassert not [name for name in sys.modules if name.startswith('greenmicro.')]")


@pytest.mark.parametrize(
    'module',
    [
        *('errors', 'messages', 'settings', 'codecs', 'targets', 'translators', 'dependencies', 'workers'),
        *('delays', 'signals', 'retry', 'copies', 'dead_letters'),
        *('routes', 'entrypoints', 'amqp', 'amqp.topology', 'amqp.entrypoints', 'amqp.dependencies'),
        *('http', 'http.values', 'http.signals', 'http.problems', 'http.dependencies', 'http.entrypoints'),
        *('child', 'pipe', 'pools', 'pools.base', 'brokers', 'brokers.base'),
    ],
)
def test_a_childs_modules_patch_nothing(module: str) -> None:
    """Nor do they import gevent, kombu or amqp, which cost a child 0.2 s."""
    run(f'import greenmicro.{module}\n{NOTHING}')


def test_runner_loads_and_patches() -> None:
    """`greenmicro.Runner` is the one name that does, and its module the one import."""
    run(
        'import greenmicro\nassert greenmicro.Runner\n'
        'from gevent import monkey\nassert monkey.is_module_patched("socket")\n'
        'assert greenmicro.Runner is __import__("greenmicro.runner").runner.Runner'
    )
