"""Worker subclasses that change a step, and what is done once per process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest

from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.errors import ConfigError
from greenmicro.messages import NOT_RUN, SUCCEEDED, Message, Outcome, Reason
from greenmicro.routes import Route
from greenmicro.workers import Interrupted, Worker
from tests import fakes
from tests.fakes import message, worker
from tests.worker_parts import EVERY_KIND, error_of, raising, reason_of

# Custom workers, step by step.


def test_decode_can_be_changed() -> None:
    """For a format of one's own."""

    class Plain(Worker):
        def decode(self, message: Message) -> Any:
            return message.body.decode().split(',')

    got: list[Any] = []
    assert worker(got.append, worker_class=Plain).run(Message(b'a,b')) is SUCCEEDED
    assert got == [['a', 'b']]


def test_translate_can_be_changed() -> None:
    """It stands around the route's translators."""

    class Wrapped(Worker):
        def translate(self, payload: Any, context: WorkerContext) -> Any:
            return ['translated', super().translate(payload, context)]

    got: list[Any] = []
    assert worker(got.append, worker_class=Wrapped).run(message(1)) is SUCCEEDED
    assert got == [['translated', 1]]


def test_inject_can_be_changed() -> None:
    """With values that no dependency makes."""

    class Stocked(Worker):
        def inject(self, context: WorkerContext) -> AbstractContextManager[dict[str, Any]]:
            return nullcontext({'extra': context.attempt})

    got: list[Any] = []
    running = worker(lambda payload, extra: got.append(extra), worker_class=Stocked)
    assert running.run(message()) is SUCCEEDED
    assert got == [1]


@pytest.mark.parametrize('error', EVERY_KIND[:3], ids=repr)
def test_an_inject_that_swallows_does_not_make_a_success(error: BaseException) -> None:
    """A failure stays one; an interruption stays one too."""

    class Suppressing(Worker):
        @contextmanager
        def inject(self, context: WorkerContext) -> Iterator[dict[str, Any]]:
            try:
                yield {}
            except BaseException:
                pass

    outcome = worker(raising(error), worker_class=Suppressing).run(message())
    assert reason_of(outcome) == Reason.TARGET
    assert type(error).__name__ in error_of(outcome)
    assert worker(raising(Interrupted()), worker_class=Suppressing).run(message()) is NOT_RUN


def test_an_inject_that_raises_fails_the_message() -> None:
    """Before the target, with the reason `dependency error`."""

    class Broken(Worker):
        def inject(self, context: WorkerContext) -> AbstractContextManager[dict[str, Any]]:
            raise LookupError('no stock')

    assert reason_of(worker(lambda payload: None, worker_class=Broken).run(message())) == Reason.DEPENDENCY


def test_call_can_be_changed() -> None:
    """It may call twice, or not at all."""

    class Twofold(Worker):
        def call(self, payload: Any, dependencies: dict[str, Any]) -> Any:
            return [super().call(payload, dependencies), super().call(payload, dependencies)]

    outcome = worker(lambda payload: payload, worker_class=Twofold, replies=True).run(message(1))
    assert outcome.result == (b'[1,1]', 'application/json', 'utf-8')


def test_run_can_be_changed() -> None:
    """Around all steps."""
    seen: list[Outcome] = []

    class Counted(Worker):
        def run(self, message: Message) -> Outcome:
            seen.append(super().run(message))
            return seen[-1]

    assert worker(lambda payload: None, worker_class=Counted).run(message()) is SUCCEEDED
    assert seen == [SUCCEEDED]


# Once per process.


class Pooled(Dependency):
    """Notes its set-up and tear-down; raises where it is told to."""

    def __init__(self, name: str, log: list[str], setup: Any = None, teardown: Any = None) -> None:
        self.name, self.log, self.setup, self.teardown = name, log, setup, teardown

    def setup_worker(self) -> None:
        self.log.append(f'set up {self.name}')
        if self.setup is not None:
            raise self.setup

    def teardown_worker(self) -> None:
        self.log.append(f'tear down {self.name}')
        if self.teardown is not None:
            raise self.teardown

    def provide(self, context: WorkerContext) -> Iterator[Any]:
        yield self


def test_dependencies_are_set_up_in_order_and_torn_down_in_reverse() -> None:
    """Once each, however often a worker is released."""
    log: list[str] = []
    running = worker(lambda payload: None, dependencies={'a': Pooled('a', log), 'b': Pooled('b', log)})
    running.release()
    running.release()
    assert log == ['set up a', 'set up b', 'tear down b', 'tear down a']


def test_a_dependency_of_two_routes_is_set_up_once() -> None:
    """Once per worker process, whoever shares the instance."""
    log: list[str] = []
    shared = Pooled('shared', log)
    place = fakes.place()
    with fakes.tasks(target=len):
        routes = [
            Route('fake_tasks.target', {'a': shared, 'b': shared}),
            Route('fake_tasks.target', {'a': shared}),
        ]
        workers = [route.worker_for('e', place, None, False) for route in routes]
        for one in workers:
            one.prepare()
    for one in workers:
        one.release()
    assert log == ['set up shared', 'tear down shared']


def test_a_set_up_that_fails_stops_the_start() -> None:
    """The sentence names dependency, target and error; only what was set up is torn down."""
    log: list[str] = []
    dependencies = {'a': Pooled('a', log), 'b': Pooled('b', log, OSError('no disk')), 'c': Pooled('c', log)}
    unready = Route('fake_tasks.target', dependencies).worker_for('e', fakes.place(), None, False)
    with fakes.tasks(target=len), pytest.raises(ConfigError) as caught:
        unready.prepare()
    assert caught.value.faults == (
        "dependency 'b' of fake_tasks.target: setup_worker failed with OSError: no disk",
    )
    unready.release()
    assert log == ['set up a', 'set up b', 'tear down a']


def test_a_target_that_does_not_resolve_sets_nothing_up() -> None:
    """Nor is anything torn down then."""
    log: list[str] = []
    unready = Route('fake_tasks.gone', {'a': Pooled('a', log)}).worker_for('e', fakes.place(), None, False)
    with fakes.tasks(target=len), pytest.raises(ConfigError, match='gone'):
        unready.prepare()
    unready.release()
    assert not log


def test_a_tear_down_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The others are torn down all the same."""
    log: list[str] = []
    dependencies = {'a': Pooled('a', log), 'b': Pooled('b', log, teardown=OSError('stuck'))}
    with caplog.at_level(logging.ERROR):
        worker(lambda payload: None, dependencies=dependencies).release()
    assert log == ['set up a', 'set up b', 'tear down b', 'tear down a']
    assert "dependency 'b' of fake_tasks.target: teardown_worker failed" in caplog.text
