"""What children are told at their start, and what stops the start since it cannot be told."""

import pickle
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import pytest

from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.entrypoints import Entrypoint
from greenmicro.errors import ConfigError
from greenmicro.pools.setup import main_module, route_table
from greenmicro.routes import Route
from greenmicro.translators import MessageTranslator
from greenmicro.workers import Worker


class Holding(Dependency):
    """Holds what it is given."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def provide(self, context: WorkerContext) -> Iterator[None]:
        yield


class Translator(MessageTranslator):
    def __init__(self, held: Any) -> None:
        self.held = held


class Refusing(Dependency):
    def __reduce__(self) -> str:
        raise RuntimeError('not me')


class Mapped(Entrypoint):
    def arguments(self, payload: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (), payload


class Encoding(Entrypoint):
    def encode(self, result: Any) -> Any:
        return [result]


class Plain(Entrypoint):
    replies = True


def faults(*entrypoints: Entrypoint) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        route_table(entrypoints)
    return [*caught.value.faults]


def test_the_table_has_a_row_for_each_entrypoint_with_shared_parts_once() -> None:
    dependency = Holding(path='a')
    first = Plain(Route('tasks.first', {'db': dependency}))
    second = Mapped(Route('tasks.second', {'db': dependency}))
    first.service = threading.Lock()  # type: ignore[assignment]  # what a child cannot have, and need not
    one, two = pickle.loads(route_table([first, second]))
    assert (one.name, one.entrypoint, one.replies) == ('Plain -> tasks.first', None, True)
    assert (two.name, type(two.entrypoint), two.replies) == ('Mapped -> tasks.second', Mapped, False)
    assert one.route.dependencies['db'] is two.route.dependencies['db']
    assert two.entrypoint.route is two.route


def test_an_entrypoint_that_encodes_results_crosses() -> None:
    (row,) = pickle.loads(route_table([Encoding(Route('tasks.first'))]))
    assert row.entrypoint.encode(7) == [7]


def test_an_attribute_that_does_not_pickle_is_named_with_its_dependency_and_route() -> None:
    with sqlite3.connect(':memory:') as connection:
        found = faults(Entrypoint(Route('tasks.test', {'db': Holding(path='a', connection=connection)})))
    connection.close()
    assert found == [
        "route tasks.test, dependency 'db', attribute 'connection': a sqlite3.Connection cannot be pickled; "
        'open it in setup_worker()'
    ]


def test_all_that_does_not_pickle_is_told_at_once() -> None:
    class Local(Worker):
        pass

    mapped = Mapped(Route('tasks.mapped'))
    mapped.service = threading.Lock()  # type: ignore[assignment]
    one, two, three, four, five, six = faults(
        Entrypoint(
            Route(
                'tasks.one',
                {'db': Holding(lock=threading.Lock(), locks=[threading.Lock()])},
                [Translator(len)],
            )
        ),
        Entrypoint(Route('tasks.two', {'db': Refusing()}, [Translator(lambda: None)])),
        Entrypoint(Route('tasks.three', worker_class=Local)),
        mapped,
        Entrypoint(Route('tasks.fine')),
    )
    assert one.startswith("route tasks.one, dependency 'db', attribute 'lock': a ")
    assert 'ock' in two.partition(': a list cannot be pickled (')[2]
    assert three == "route tasks.two, dependency 'db': it cannot be pickled: RuntimeError: not me"
    assert four.startswith(
        "route tasks.two, translator Translator, attribute 'held': a function cannot be pick"
    )
    assert five.startswith('route tasks.three, worker_class: it cannot be pickled: ')
    assert 'Local' in five
    assert six.startswith("route tasks.mapped, entrypoint Mapped -> tasks.mapped, attribute 'service': a ")


def test_a_route_itself_is_named_when_none_of_its_parts_is_at_fault() -> None:
    found = faults(Entrypoint(Route('tasks.test', MappingProxyType({'db': Holding()}))))
    assert found == ["route tasks.test, attribute 'dependencies': a mappingproxy cannot be pickled"]


def main_with(**attributes: Any) -> ModuleType:
    module = ModuleType('__main__')
    module.__dict__.update(attributes)
    return module


def test_the_main_module_is_known_by_its_name_or_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / 'main.py'
    file.touch()
    monkeypatch.chdir(tmp_path)
    found = []
    for main in (
        main_with(__file__='main.py'),
        main_with(__file__=str(file), __spec__=type('Spec', (), {'name': 'package.__main__'})),
        main_with(__file__=str(file), __spec__=type('Spec', (), {'name': '__main__'})),
        main_with(__file__='<stdin>'),
        main_with(),
    ):
        monkeypatch.setitem(sys.modules, '__main__', main)
        found.append(main_module())
    assert found == [('path', str(file)), ('module', 'package.__main__'), None, None, None]
