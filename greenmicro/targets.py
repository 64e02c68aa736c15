"""Dotted path to callable."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from greenmicro.errors import ArgumentsError, ConfigError

#: Flags of a code object, by their values in `inspect`, which takes 9 ms of a child's start to import [M].
_REFUSED = {
    0x80: 'a coroutine function',
    0x100: 'a coroutine function',
    0x200: 'an async generator function',
    0x20: 'a generator function',
}
#: Frames in these folders are not the user's code.
_FOREIGN = ('<frozen', str(Path(os.__file__).parent) + os.sep, str(Path(__file__).parent) + os.sep)


def check_path(path: object) -> str | None:
    """Check the form of a dotted path, without an import; for the parents of process modes.

    Args:
        path: What should be one, such as `'package.module.function'`.

    Returns:
        A sentence that says what is wrong, or None.
    """
    wanted = "wanted a dotted path such as 'package.module.function'"
    if not isinstance(path, str):
        hint = ''
        if callable(path) and hasattr(path, '__qualname__'):
            hint = f"; write '{path.__module__}.{path.__qualname__}', it is imported where the worker runs"
        return f'{wanted}, found {type(path).__name__}{hint}'
    if '.' not in path:
        return f'{wanted}, found {path!r}, which has no dot'
    if not all(part.isidentifier() for part in path.split('.')):
        return f'{wanted}, found {path!r}'
    return None


def resolve(path: str) -> Callable[..., Any]:
    """Import the longest module that a dotted path begins with, and take the rest from it.

    Runs where the worker runs: in process modes that is the child, never the parent.

    Args:
        path: Such as `'package.module.function'` or `'package.module.Class.static_method'`.

    Returns:
        What the path names: a callable whose call is the work, no coroutine or generator function.

    Raises:
        ConfigError: There is no such thing, its module raised on import, or it cannot be a target.
    """
    if fault := check_path(path):
        raise ConfigError(f'target: {fault}')
    target = find('target', path)
    if not callable(target):
        raise ConfigError(f'target {path!r} is of type {type(target).__name__}, which cannot be called')
    if reason := _refusal(target):
        raise ConfigError(f'target {path!r} is {reason}')
    plain: Callable[..., Any] = target
    return plain


def find(what: str, path: str) -> Any:
    """Import the longest module that a dotted path begins with, and take the rest from it.

    Args:
        what: What the path names, for the errors.
        path: A dotted path.

    Raises:
        ConfigError: There is no such thing, or its module raised on import.
    """
    found, taken = _import(what, path)
    for name in path.split('.')[taken:]:
        found = _attribute(what, path, found, name)
    return found


def signature(target: Callable[..., Any]) -> Any:
    """Return what a target can be called with; None for a builtin one that does not tell."""
    import inspect  # 9 ms of a child's start, for those only that have callers [M]

    try:
        return inspect.signature(target)
    except (TypeError, ValueError):
        return None


def check_call(
    signature: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], dependencies: Mapping[str, Any]
) -> None:
    """Check that a target can be called with what a remote caller gave.

    Raises:
        ArgumentsError: It cannot; or the caller gave what is a dependency's.
    """
    try:
        taken = kwargs.keys() & dependencies.keys()
        if taken:
            raise TypeError(f'got an unexpected keyword argument {min(taken)!r}')
        signature.bind(*args, **kwargs, **dependencies)
    except TypeError as error:
        raise ArgumentsError('signature', str(error)) from None


def _import(what: str, path: str) -> tuple[Any, int]:
    """Import the longest prefix that is a module, the last part aside; say how many parts it took."""
    parts = path.split('.')
    module: ModuleType | None = None
    for taken in range(1, len(parts)):
        name = '.'.join(parts[:taken])
        if not _exists(name, module):
            if module is None:
                near = _nearest(parts[0], _modules(sys.path))
                raise ConfigError(f'{what} {path!r}: there is no module {name!r}{near}')
            return module, taken - 1
        try:
            module = importlib.import_module(name)
        # The user's code, which may raise anything; a module that calls sys.exit() must not end the worker.
        except (Exception, SystemExit) as error:
            raise ConfigError(f'{what} {path!r}: module {name!r} {_raised(error)}') from error
    return module, len(parts) - 1


def _exists(name: str, package: ModuleType | None) -> bool:
    # By its spec and not by ModuleNotFoundError: that may be about another module, which this one imports.
    if sys.modules.get(name):
        return True
    if package is not None and not hasattr(package, '__path__'):
        return False
    return importlib.util.find_spec(name) is not None


def _attribute(what: str, path: str, holder: Any, name: str) -> Any:
    try:
        return getattr(holder, name)
    except AttributeError:
        pass
    except Exception as error:
        raise ConfigError(f'{what} {path!r}: reading {name!r} {_raised(error)}') from error
    modules = _modules(getattr(holder, '__path__', ()))
    if name in modules and path.endswith(f'.{name}'):
        raise ConfigError(f'{what} {path!r} is a module; name something in it')
    near = _nearest(name, [*dir(holder), *modules])
    raise ConfigError(f'{what} {path!r}: {_called(holder)} has no {name!r}{near}')


def _called(holder: Any) -> str:
    if isinstance(holder, ModuleType):
        return f'module {holder.__name__!r} ({getattr(holder, "__file__", None) or "without a file"})'
    return f'{getattr(holder, "__qualname__", type(holder).__name__)!r}'


def _modules(folders: Iterable[str]) -> list[str]:
    from pkgutil import iter_modules  # 6 ms, for an error only

    return [module.name for module in iter_modules(list(folders))]


def _nearest(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, sorted(set(names)), 1)
    return f"; did you mean '{near[0]}'?" if near else ''


def _raised(error: BaseException) -> str:
    return f'raised {type(error).__name__}: {error}{_where(error)}'


def _where(error: BaseException) -> str:
    """Name the innermost line of the user's own code; of a syntax error, the line that has it."""
    if isinstance(error, SyntaxError) and error.filename:
        return f' ({error.filename}:{error.lineno})'
    lines = list(_lines(error.__traceback__))
    own = [line for line in lines if not _is_foreign(line)]
    return f' ({(own or lines)[-1]})'


def _lines(trace: TracebackType | None) -> Iterator[str]:
    while trace:
        yield f'{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}'
        trace = trace.tb_next


def _is_foreign(line: str) -> bool:
    return line.startswith(_FOREIGN) or 'site-packages' in line or 'dist-packages' in line


def _refusal(target: Any) -> str | None:
    """Say why a callable cannot be a target, whatever it is wrapped in; None when it can."""
    for depth, layer in enumerate(_layers(target)):
        if kind := _kind(layer):
            reason = 'targets are plain functions; their I/O is made concurrent by gevent'
            if not depth:
                return f'{kind}: {reason}'
            hint = 'if its decorator runs it to the end, let that delete __wrapped__'
            return f'{kind} underneath: {reason} ({hint})'
    return None


def _layers(target: Any) -> Iterator[Any]:
    seen: list[Any] = []
    while target is not None and not any(target is one for one in seen):
        seen.append(target)
        yield target
        if isinstance(target, functools.partial):
            target = target.func
        else:
            target = getattr(target, '__wrapped__', None)


def _kind(layer: Any) -> str | None:
    # The second is for instances of a class with `__call__`; methods pass their function's code on.
    for function in (layer, getattr(type(layer), '__call__', None)):  # noqa: B004 - the function is wanted
        flags = getattr(getattr(function, '__code__', None), 'co_flags', 0)
        for flag, kind in _REFUSED.items():
            if flags & flag:
                return kind
    return None
