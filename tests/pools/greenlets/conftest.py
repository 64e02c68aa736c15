"""A greenlet pool for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from greenmicro.entrypoints import Entrypoint
from greenmicro.pools.greenlets import GreenletPool
from tests.fakes import Recorder, settings, tasks
from tests.pools.greenlets.parts import (
    Start,
)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a pool whose `target` is a function, for a recorder or for other entrypoints."""
    pools: list[GreenletPool] = []

    def started(
        target: Callable[..., Any], *entrypoints: Entrypoint, workers: int = 3, **functions: Any
    ) -> GreenletPool:
        pool = GreenletPool(
            settings(MAX_WORKERS=workers), entrypoints or (Recorder(),), lambda publication: None
        )
        with tasks(target=target, **functions):
            pool.start()
        pools.append(pool)
        return pool

    yield started
    for pool in pools:
        pool.interrupt(0.5)
        pool.close()
