"""Targets that are not there, or are none: what is said, and what was likely meant."""

from __future__ import annotations

import sys

import pytest

from tests.targets.faults import Write, fault


def test_a_missing_module_names_the_nearest(write: Write) -> None:
    """A module that is not there is met with one on sys.path of a like name."""
    write('gm_billing.py')
    assert fault('gm_biling.run') == (
        "target 'gm_biling.run': there is no module 'gm_biling'; did you mean 'gm_billing'?"
    )


def test_a_missing_module_with_nothing_near_is_named_alone() -> None:
    """Where nothing is near, nothing is suggested."""
    assert fault('zqxjkvwpy_.run') == "target 'zqxjkvwpy_.run': there is no module 'zqxjkvwpy_'"


def test_a_module_that_was_blocked_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """None in sys.modules, Python's way to block an import, is a missing module."""
    monkeypatch.setitem(sys.modules, 'gm_blocked', None)
    assert "there is no module 'gm_blocked'" in fault('gm_blocked.run')


def test_a_missing_submodule_names_the_nearest(write: Write) -> None:
    """In a package, the module that is not there is compared with those that are."""
    write('gm_pack/__init__.py')
    write('gm_pack/orders.py')
    found = fault('gm_pack.order.run')
    assert found.startswith("target 'gm_pack.order.run': module 'gm_pack' (")
    assert found.endswith("__init__.py) has no 'order'; did you mean 'orders'?")


def test_a_missing_function_names_the_nearest(write: Write) -> None:
    """In a module, the name that is not there is compared with those that are."""
    write('gm_near.py', 'def handle_order(payload): ...')
    found = fault('gm_near.handel_order')
    assert found.endswith("gm_near.py) has no 'handel_order'; did you mean 'handle_order'?")


def test_a_missing_method_names_the_class(write: Write) -> None:
    """In a class or an instance, it is that which has no such name."""
    write('gm_class.py', 'class Orders:\n    def paid(self): ...\norders = Orders()')
    assert fault('gm_class.Orders.pad') == (
        "target 'gm_class.Orders.pad': 'Orders' has no 'pad'; did you mean 'paid'?"
    )
    assert "'Orders' has no 'zzz'" in fault('gm_class.orders.zzz')


def test_a_module_without_a_file_is_named_as_such() -> None:
    """Built-in modules have no file to name."""
    assert "module 'sys' (without a file) has no 'exti'; did you mean 'exit'?" in fault('sys.exti')


def test_a_module_is_no_target(write: Write) -> None:
    """A path that ends at a module, imported or not, asks for a function in it."""
    write('gm_mods/__init__.py')
    write('gm_mods/orders.py')
    assert fault('gm_mods.orders') == "target 'gm_mods.orders' is a module; name something in it"


def test_what_cannot_be_called_is_no_target(write: Write) -> None:
    """A value is told by its type."""
    write('gm_value.py', 'LIMIT = 3')
    assert fault('gm_value.LIMIT') == "target 'gm_value.LIMIT' is of type int, which cannot be called"
