"""Monkey-patching: done once by the runner, and what was imported too early for it, found."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from warnings import catch_warnings, filterwarnings

from gevent import monkey

#: Functions and classes that block the hub if a module kept the unpatched one.
BLOCKING = (('time', 'sleep'), ('socket', 'socket'), ('subprocess', 'Popen'), ('select', 'select'))


def patch() -> None:
    """Patch the standard library, unless that was done before; stdlib imports may come first."""
    if monkey.is_module_patched('socket'):
        return
    with catch_warnings():
        # Who imported it too early is told by faults(), which stops the start and says what to move.
        filterwarnings('ignore', 'Monkey-patching ssl after ssl', monkey.MonkeyPatchWarning)
        monkey.patch_all()


def faults() -> Iterator[str]:
    """Yield a sentence for each package that cannot work, having been imported before the patch.

    A module that kept the old SSLContext (urllib3, hence requests) gets a RecursionError from every TLS
    context that it makes.
    """
    if not monkey.is_module_patched('ssl'):  # by a user who patched before us, all but that
        return
    original = monkey.get_original('ssl', 'SSLContext')
    for package in sorted({module.partition('.')[0] for module, _ in _holders(original)}):
        yield (
            f'{package} was imported before greenmicro.runner and would fail at its first TLS connection: '
            f'move the import of greenmicro.runner above that of {package} (or of what imports it)'
        )


def warnings() -> Iterator[str]:
    """Yield a sentence for each module that kept a function that blocks the whole service."""
    for module, name in BLOCKING:
        for holder, kept_as in _holders(monkey.get_original(module, name)):
            yield (
                f'{holder}.{kept_as} is {module}.{name} from before the patch and blocks the whole service: '
                f'import it after greenmicro.runner'
            )


def _holders(original: object) -> Iterator[tuple[str, str]]:
    """Yield the modules outside the standard library that hold an object, and its name there."""
    # Each under its first name only: __mp_main__ is __main__ again.
    named = {id(module): (name, module) for name, module in reversed(list(sys.modules.items()))}
    for name, module in reversed(list(named.values())):
        package = name.partition('.')[0]
        if (package in sys.stdlib_module_names and name != '__main__') or package == 'gevent':
            continue
        for kept_as, value in _contents(module):
            if value is original:
                yield name, kept_as


def _contents(module: object) -> Iterable[tuple[str, object]]:
    try:
        # Not by getattr or vars: modules that import themselves lazily would begin to.
        return list(object.__getattribute__(module, '__dict__').items())
    except Exception:
        return []  # anything may stand in sys.modules
