"""Targets: what a dotted path leads to, and what is said when it leads nowhere."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from greenmicro.errors import ConfigError
from greenmicro.targets import check_path, resolve

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module by its path below a folder that is first on sys.path; forget it afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write_module(path: str, source: str = '') -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source))

    yield write_module
    for name in set(sys.modules) - before:
        del sys.modules[name]


def fault(path: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(path)
    (only,) = caught.value.faults
    return only


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
    assert fault('gm_mods.orders') == "target 'gm_mods.orders' is a module; name a function in it"


def test_what_cannot_be_called_is_no_target(write: Write) -> None:
    """A value is told by its type."""
    write('gm_value.py', 'LIMIT = 3')
    assert fault('gm_value.LIMIT') == "target 'gm_value.LIMIT' is of type int, which cannot be called"


def test_a_module_that_raises_is_told_with_its_line(write: Write, tmp_path: Path) -> None:
    """Class, message and the innermost line of the user's code, with the cause chained."""
    write('gm_inner.py', '\n\ndef fail():\n    raise LookupError("no such row")')
    write('gm_raises.py', 'import gm_inner\ngm_inner.fail()\ndef run(payload): ...')
    with pytest.raises(ConfigError) as caught:
        resolve('gm_raises.run')
    assert str(caught.value) == (
        f"target 'gm_raises.run': module 'gm_raises' raised LookupError: no such row "
        f'({tmp_path}/gm_inner.py:4)'
    )
    assert isinstance(caught.value.__cause__, LookupError)


def test_the_line_is_the_users_and_not_a_librarys(write: Write, tmp_path: Path) -> None:
    """Frames of the standard library and of installed packages are passed over."""
    write('site-packages/gm_library.py', 'def parse(text): return int(text)')
    write(
        'gm_calls_library.py',
        f'import json, sys\nsys.path.insert(0, "{tmp_path}/site-packages")\nimport gm_library\n'
        'try:\n    json.loads("{")\nexcept ValueError:\n    pass\ngm_library.parse("x")',
    )
    assert fault('gm_calls_library.run').endswith(f'({tmp_path}/gm_calls_library.py:8)')
    write('gm_stdlib.py', 'import json\njson.loads("{")')
    assert fault('gm_stdlib.run').endswith(f'({tmp_path}/gm_stdlib.py:2)')


def test_a_service_that_is_itself_installed_is_told_with_its_line(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all frames are foreign, the innermost is named."""
    write('site-packages/gm_installed.py', 'x = 1 / 0')
    monkeypatch.syspath_prepend(tmp_path / 'site-packages')
    assert fault('gm_installed.run').endswith('site-packages/gm_installed.py:1)')


def test_a_syntax_error_is_told_with_its_own_line(write: Write, tmp_path: Path) -> None:
    """The line that cannot be read, though no frame was ever in it."""
    write('gm_syntax.py', '\nx = (')
    assert fault('gm_syntax.run').endswith(f'({tmp_path}/gm_syntax.py:2)')


def test_a_missing_library_is_not_a_missing_target(write: Write, tmp_path: Path) -> None:
    """A ModuleNotFoundError from inside the module is told as what the module raised."""
    write('gm_needs.py', '\nimport gm_not_installed')
    assert fault('gm_needs.run') == (
        "target 'gm_needs.run': module 'gm_needs' raised ModuleNotFoundError: "
        f"No module named 'gm_not_installed' ({tmp_path}/gm_needs.py:2)"
    )


def test_a_missing_library_in_a_package_is_not_a_missing_submodule(write: Write) -> None:
    """Not even when what is missing has the target's package in its name."""
    write('gm_deep/__init__.py')
    write('gm_deep/tasks.py', 'import gm_deep.missing')
    assert "module 'gm_deep.tasks' raised ModuleNotFoundError: No module named 'gm_deep.missing'" in fault(
        'gm_deep.tasks.run'
    )


def test_a_module_that_exits_does_not_end_the_worker(write: Write) -> None:
    """sys.exit() at the top of a module is a fault like others."""
    write('gm_exit.py', 'raise SystemExit(3)')
    assert "module 'gm_exit' raised SystemExit: 3" in fault('gm_exit.run')


def test_a_module_that_raised_is_imported_anew(write: Write, tmp_path: Path) -> None:
    """What failed for want of a file works once the file is there."""
    write('gm_again.py', f'open("{tmp_path}/gm_file").close()\ndef run(payload): ...')
    assert 'FileNotFoundError' in fault('gm_again.run')
    write('gm_file')
    assert resolve('gm_again.run')


def test_an_attribute_that_raises_is_told(write: Write) -> None:
    """A module's lazy `__getattr__` may raise; that is no missing name."""
    write('gm_lazy.py', 'def __getattr__(name):\n    raise ValueError(name)')
    assert "reading 'run' raised ValueError: run (" in fault('gm_lazy.run')


ASYNC = """
    import functools, types
    async def coroutine(payload): ...
    async def agen(payload): yield
    def generator(payload): yield
    @types.coroutine
    def old(payload): yield
    part = functools.partial(functools.partial(coroutine), 1)
    @functools.wraps(coroutine)
    def decorated(payload): return coroutine(payload)
    @functools.wraps(generator)
    def wrapped(payload): return generator(payload)
    class Call:
        async def __call__(self, payload): ...
        def method(self, payload): yield
    instance, method = Call(), Call().method
    part_of_instance = functools.partial(instance)
    @functools.wraps(coroutine)
    def adapter(payload): ...
    del adapter.__wrapped__
"""


@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        ('coroutine', 'a coroutine function:'),
        ('old', 'a coroutine function:'),
        ('agen', 'an async generator function:'),
        ('generator', 'a generator function:'),
        ('part', 'a coroutine function underneath:'),
        ('decorated', 'a coroutine function underneath:'),
        ('wrapped', 'a generator function underneath:'),
        ('instance', 'a coroutine function:'),
        ('method', 'a generator function:'),
        ('part_of_instance', 'a coroutine function underneath:'),
    ],
)
def test_coroutines_and_generators_are_refused(write: Write, name: str, kind: str) -> None:
    """Their call would run nothing and look like a success; however they are wrapped."""
    write('gm_async.py', ASYNC)
    found = fault(f'gm_async.{name}')
    assert found.startswith(f"target 'gm_async.{name}' is {kind} targets are plain functions")


def test_an_adapter_that_runs_its_coroutine_can_say_so(write: Write) -> None:
    """A decorator's function without `__wrapped__` is taken as the plain function that it is."""
    write('gm_adapter.py', ASYNC)
    assert resolve('gm_adapter.adapter')
