"""Monkey-patching: done once by the runner, and what was imported too early for it, found."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from gevent import monkey

#: Functions and classes that block the hub if a module kept the unpatched one.
BLOCKING = (('time', 'sleep'), ('socket', 'socket'), ('subprocess', 'Popen'), ('select', 'select'))


def patch() -> None:
    """Patch the standard library, unless that was done before; stdlib imports may come first."""
    if not monkey.is_module_patched('socket'):
        monkey.patch_all()


def faults() -> Iterator[str]:
    """Yield a sentence for each module that cannot work, having been imported before the patch.

    A module that kept the old SSLContext (urllib3, hence requests) gets a RecursionError from every TLS
    context that it makes.
    """
    original = monkey.get_original('ssl', 'SSLContext')
    for module in sorted({module for module, _ in _holders(original)}):
        package = module.partition('.')[0]
        yield (
            f'{module} was imported before greenmicro.runner and would fail at its first TLS connection: '
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
    for name, module in list(sys.modules.items()):
        package = name.partition('.')[0]
        if (package in sys.stdlib_module_names and name != '__main__') or package == 'gevent':
            continue
        for kept_as, value in list(getattr(module, '__dict__', {}).items()):
            if value is original:
                yield name, kept_as
