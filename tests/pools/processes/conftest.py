"""Pools of real children, whose targets are in modules that only they import."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from greenmicro.entrypoints import Entrypoint
from greenmicro.pools import setup
from greenmicro.pools.processes import ProcessPool
from greenmicro.settings import Settings
from tests.pools.processes.parts import CONFIG, TARGETS, TIMEOUT_S, MakePool, Published, own_children


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for modules of targets; the children do not run pytest's own main module."""
    (tmp_path / 'jobs.py').write_text(TARGETS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(setup, 'main_module', lambda: None)
    return tmp_path


@pytest.fixture
def published() -> Published:
    return Published()


@pytest.fixture
def make_pool(folder: Path, published: Published) -> Iterator[MakePool]:
    """Makes pools, which are closed at the end and leave no process, nor a zombie."""
    pools = []

    def make(*entrypoints: Entrypoint, **config: Any) -> ProcessPool:
        settings = Settings.load({**CONFIG, **config}, {})
        pools.append(ProcessPool(settings, entrypoints, published))
        return pools[-1]

    yield make
    with gevent.Timeout(TIMEOUT_S):
        for pool in pools:
            pool.close()
    assert own_children() == []


@pytest.fixture
def start(make_pool: MakePool) -> MakePool:
    """Makes a pool and starts it."""

    def make(*entrypoints: Entrypoint, **config: Any) -> ProcessPool:
        pool = make_pool(*entrypoints, **config)
        pool.start()
        return pool

    return make
