"""Where workers run: the table of places."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greenmicro.pools.base import Pool

#: `WorkerMode.place` to the module and the class of its pool.
PLACES = {
    'greenlet': ('greenmicro.pools.greenlets', 'GreenletPool'),
    'child': ('greenmicro.pools.processes', 'ProcessPool'),
}


def pool_class(place: str) -> type[Pool]:
    """Return the pool of a place; only that one is imported."""
    module, name = PLACES[place]
    found: type[Pool] = getattr(import_module(module), name)
    return found
