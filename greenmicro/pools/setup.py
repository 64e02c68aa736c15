"""What a pool tells its children at their start: settings, the main module, the route table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from greenmicro.entrypoints import Entrypoint
from greenmicro.errors import ConfigError
from greenmicro.pipe import Kind, Row, Setup, dumps, frame
from greenmicro.settings import Settings


def setup_frame(settings: Settings, table: bytes) -> bytes:
    """Pack what a child is told first."""
    return frame(Kind.SETUP, 0, dumps(Setup(sys.path, sys.argv, main_module(), settings, table)))


def main_module() -> tuple[str, str] | None:
    """Say how a child runs this process's main module again.

    Returns:
        `('module', name)` or `('path', file)`; None when there is no file, as in a REPL or with `-c`.
    """
    main = sys.modules['__main__']
    spec = getattr(main, '__spec__', None)
    if spec is not None:
        # The main module of a folder or zip archive has no name that can be imported.
        return None if spec.name == '__main__' else ('module', spec.name)
    file = getattr(main, '__file__', None)
    if file is None or not Path(file).is_file():
        return None
    return 'path', str(Path(file).absolute())


def route_table(entrypoints: Iterable[Entrypoint]) -> bytes:
    """Pickle what children have to know of all entrypoints; a job names one by its place in this list.

    Call it before the entrypoints' `setup`, which gives them what cannot be pickled.

    Raises:
        ConfigError: Something cannot be pickled; each is named by route, dependency and attribute.
    """
    rows = [_row(entrypoint) for entrypoint in entrypoints]
    if _pickle_error(rows) is None:
        return dumps(rows)
    faults = [fault for row in rows for fault in _row_faults(row)]
    raise ConfigError(*dict.fromkeys(faults))


def _row(entrypoint: Entrypoint) -> Row:
    # An entrypoint may hold anything: it crosses only where it is needed.
    kind = type(entrypoint)
    maps = kind.arguments is not Entrypoint.arguments or kind.encode is not Entrypoint.encode
    return Row(entrypoint.route, entrypoint.name, entrypoint if maps else None, entrypoint.replies)


def _row_faults(row: Row) -> Iterator[str]:
    route, where = row.route, f'route {row.route.target}'
    parts = [
        *((f'dependency {name!r}', part, 'setup_worker()') for name, part in route.dependencies.items()),
        *((f'translator {type(part).__name__}', part, 'translate()') for part in route.translators),
        ('worker_class', route.worker_class, ''),
    ]
    faults = [fault for what, part, place in parts for fault in _part_faults(f'{where}, {what}', part, place)]
    if not faults:
        faults += _part_faults(where, route, '')
    if not faults and row.entrypoint is not None:
        faults += _part_faults(f'{where}, entrypoint {row.name}', row.entrypoint, 'arguments()')
    yield from faults


def _part_faults(where: str, part: Any, place: str) -> Iterator[str]:
    """Yield what of a part cannot be pickled: attributes of it, or else itself."""
    error = _pickle_error(part)
    if error is None:
        return
    advice = f'; open it in {place}' if place else ''
    named = False
    for name, value in getattr(part, '__dict__', {}).items() if not isinstance(part, type) else ():
        fault = _pickle_error(value)
        if fault is not None:
            kind = _type_name(value)
            why = '' if kind in fault else f' ({fault})'
            yield f'{where}, attribute {name!r}: a {kind} cannot be pickled{why}{advice}'
            named = True
    if not named:
        yield f'{where}: it cannot be pickled: {error}'


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == 'builtins' else f'{kind.__module__}.{kind.__qualname__}'


def _pickle_error(value: Any) -> str | None:
    try:
        dumps(value)
    except Exception as error:  # a class's own __getstate__ may raise anything
        return f'{type(error).__name__}: {error}'
    return None
