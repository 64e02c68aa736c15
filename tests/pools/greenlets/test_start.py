"""The start of a GreenletPool: targets, dependencies and WORKER_SETUP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.errors import ConfigError
from greenmicro.messages import Outcome
from greenmicro.pools.greenlets import GreenletPool
from greenmicro.routes import Route
from tests.fakes import Recorder, settings, tasks
from tests.pools.greenlets.parts import (
    TIMEOUT_S,
    Start,
    noop,
    recorder,
    submit,
)


class Noted(Dependency):
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def setup_worker(self) -> None:
        self.log.append('set up')

    def teardown_worker(self) -> None:
        self.log.append('torn down')

    def provide(self, context: WorkerContext) -> Iterator[Any]:
        self.log.append(context.entrypoint)
        yield context


def test_the_process_is_set_up_once_and_before_the_targets(start: Start) -> None:
    """A dependency that two entrypoints share is set up at the start and torn down at the close."""
    log: list[str] = []
    route = Route('fake_tasks.target', {'noted': Noted(log)})
    pool = start(lambda payload, noted: None, Recorder(route), Recorder(route))
    submit(pool, 1)
    assert pool.wait_idle(TIMEOUT_S)
    pool.close()
    assert log == ['set up', 'Recorder -> fake_tasks.target', 'torn down']


def test_all_faults_stop_the_start_at_once() -> None:
    """Each with its entrypoint; what was set up can be torn down."""
    log: list[str] = []
    entrypoints = [
        Recorder(Route(f'fake_tasks.{name}', {'n': Noted(log)})) for name in ('gone', 'target', 'lost')
    ]
    pool = GreenletPool(settings(), entrypoints, lambda publication: None)
    with tasks(target=noop), pytest.raises(ConfigError) as caught:
        pool.start()
    first, second = caught.value.faults
    assert first.startswith('Recorder -> fake_tasks.gone: target')
    assert second.startswith('Recorder -> fake_tasks.lost: target')
    pool.close()
    assert log == ['set up', 'torn down']


def test_worker_setup_is_called_first() -> None:
    """Once, before any target is resolved."""
    called: list[str] = []
    pool = GreenletPool(settings(WORKER_SETUP='fake_tasks.setup'), [Recorder()], lambda publication: None)

    def setup() -> None:
        import fake_tasks  # type: ignore[import-not-found]

        called.append('setup')
        fake_tasks.target = noop

    with tasks(setup=setup):
        pool.start()
    assert called == ['setup']


@pytest.mark.parametrize(
    ('path', 'fault'),
    [
        ('fake_tasks.broken', 'WORKER_SETUP fake_tasks.broken failed with OSError: no disk'),
        ('fake_tasks.gone', "WORKER_SETUP: target 'fake_tasks.gone'"),
    ],
)
def test_a_worker_setup_that_fails_stops_the_start(path: str, fault: str) -> None:
    """With a sentence that names it."""

    def broken() -> None:
        raise OSError('no disk')

    pool = GreenletPool(settings(WORKER_SETUP=path), [Recorder()], lambda publication: None)
    with tasks(broken=broken), pytest.raises(ConfigError) as caught:
        pool.start()
    (only,) = caught.value.faults
    assert only.startswith(fault)


def test_arguments_and_replies_are_the_entrypoints(start: Start) -> None:
    """Where its class maps the payload, and where somebody waits for the result."""

    class Calling(Recorder):
        replies = True

        def arguments(self, payload: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
            return tuple(payload), {'scale': 10}

    pool = start(lambda a, b, scale: (a + b) * scale, Calling())
    submit(pool, [1, 2])
    assert pool.wait_idle(TIMEOUT_S)
    assert recorder(pool).outcomes == [Outcome(True, None, (b'30', 'application/json', 'utf-8'))]
