"""Targets: what a dotted path leads to, and which form it must have."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from greenmicro.targets import check_path, resolve
from tests.targets.faults import Write, fault


def test_a_function_in_a_module_is_found(write: Write) -> None:
    """`module.function` is that function, the same object each time."""
    write('gm_tasks.py', 'def run(payload): return payload * 2')
    assert resolve('gm_tasks.run')(21) == 42
    assert resolve('gm_tasks.run') is resolve('gm_tasks.run')


def test_a_static_method_of_a_class_in_a_package_is_found(write: Write) -> None:
    """`package.module.Class.method` takes the longest module and then attributes."""
    write('gm_shop/__init__.py')
    source = """
        class Orders:
            class Inner:
                @classmethod
                def made(cls, payload): return cls.__name__, payload
            @staticmethod
            def paid(payload): return payload
    """
    write('gm_shop/orders.py', source)
    assert resolve('gm_shop.orders.Orders.paid')(1) == 1
    assert resolve('gm_shop.orders.Orders.Inner.made')(1) == ('Inner', 1)


def test_a_submodule_goes_before_an_attribute_of_its_name(write: Write) -> None:
    """The longest prefix that can be imported is the module, even where the package has such an attribute."""
    write('gm_both/__init__.py', 'class orders:\n    run = len')
    write('gm_both/orders.py', 'run = max')
    assert resolve('gm_both.orders.run') is max


def test_a_callable_instance_a_partial_and_a_builtin_are_targets(write: Write) -> None:
    """Whatever can be called and does the work in its call is a target."""
    source = """
        import functools
        class Add:
            def __call__(self, payload): return payload + 1
            def add(self, payload): return payload + 1
        add, method, build = Add(), Add().add, Add
        part = functools.partial(lambda more, payload: payload + more, 1)
        cached = functools.lru_cache(add.add)
        def odd(payload): return payload + 1
        odd.__wrapped__ = odd
    """
    write('gm_calls.py', source)
    for name in ('add', 'method', 'part', 'cached', 'odd'):
        assert resolve(f'gm_calls.{name}')(1) == 2
    assert resolve('gm_calls.build')
    assert resolve('builtins.len') is len


@pytest.mark.parametrize(
    ('path', 'words'),
    [
        (3, 'found int'),
        (None, 'found NoneType'),
        ('', "found '', which has no dot"),
        ('tasks', "found 'tasks', which has no dot"),
        ('tasks.', "found 'tasks.'"),
        ('tasks:test.run', "found 'tasks:test.run'"),
        ('../tasks.py', "found '../tasks.py'"),
        (check_path, "write 'greenmicro.targets.check_path', it is imported where the worker runs"),
    ],
)
def test_what_is_no_dotted_path_is_refused_by_its_form(path: Any, words: str) -> None:
    """Type, dot and identifiers are checked without an import; a function is told its path."""
    found = check_path(path)
    assert found is not None
    assert found.startswith("wanted a dotted path such as 'package.module.function'")
    assert words in found
    assert fault(path) == f'target: {found}'


def test_the_form_check_imports_nothing(write: Write) -> None:
    """Parents of process modes check a path and never import its module."""
    write('gm_never.py', 'raise SystemExit')
    assert check_path('gm_never.run') is None
    assert 'gm_never' not in sys.modules
