"""Route: a declaration whose every fault is told at start, and the one decision about an outcome."""

from __future__ import annotations

import dataclasses
import math
from collections import UserDict
from collections.abc import Iterator
from typing import Any

import pytest

from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.messages import NOT_RUN, SUCCEEDED, Failure, Message, Outcome, Settlement
from greenmicro.routes import Route
from greenmicro.translators import MessageTranslator
from greenmicro.workers import Worker
from tests import fakes

FAILED = Outcome.failed(Failure('target error', 'builtins.ValueError: v'))


class Fine(Dependency):
    def provide(self, context: WorkerContext) -> Iterator[Any]:
        yield 1


class Missing(Dependency):
    pass


class Returning(Dependency):
    def provide(self, context: WorkerContext) -> Any:
        return 1


class Asynchronous(Dependency):
    async def provide(self, context: WorkerContext) -> Any:  # type: ignore[override]
        yield 1


def faults(target: Any = 'tasks.run', **declared: Any) -> list[str]:
    return list(Route(target, **declared).faults())


def test_a_path_suffices() -> None:
    """Everything else has a default."""
    route = Route('tasks.run')
    assert (dict(route.dependencies), list(route.translators)) == ({}, [])
    assert (route.worker_class, route.timeout_s, route.on_error) == (Worker, None, 'dead_letter')
    assert not faults()


def test_nothing_is_imported_to_find_faults() -> None:
    """In process modes the parent never imports a target."""
    assert not faults('no.such.module.function')


def test_a_full_declaration_has_no_faults() -> None:
    """Dependencies, translators in a list or a tuple, a worker class, what failure leads to."""
    assert not faults(
        dependencies={'a': Fine(), 'b': Fine()},
        translators=(MessageTranslator(),),
        worker_class=type('Own', (Worker,), {}),
        timeout_s=0.001,
        on_error='drop',
    )
    assert not faults(timeout_s=31_622_400)
    assert not faults(dependencies=fakes_mapping(a=Fine()), translators=[MessageTranslator()])


def fakes_mapping(**values: Any) -> Any:
    return UserDict(values)


def test_a_route_is_frozen() -> None:
    """It is shared by workers, and crosses to children."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Route('tasks.run').target = 'tasks.other'  # type: ignore[misc]


def test_what_failure_leads_to_is_given_by_name() -> None:
    """Retries take their place before it."""
    with pytest.raises(TypeError):
        Route('tasks.run', {}, (), Worker, 'drop')  # type: ignore[misc]


@pytest.mark.parametrize(
    ('declared', 'fault'),
    [
        (
            {'target': 'run'},
            "wanted a dotted path such as 'package.module.function', found 'run', which has no dot",
        ),
        ({'target': None}, "wanted a dotted path such as 'package.module.function', found NoneType"),
        ({'target': 'tasks.'}, "wanted a dotted path such as 'package.module.function', found 'tasks.'"),
        (
            {'dependencies': {'a': Fine}},
            "dependency 'a': wanted an instance, found the class Fine; write Fine()",
        ),
        (
            {'dependencies': {'a': 'text'}},
            "dependency 'a': wanted an instance of Dependency, found a str",
        ),
        (
            {'dependencies': {'not a name': Fine()}},
            "dependency 'not a name': its name has to be an identifier, as the target takes it by keyword",
        ),
        (
            {'dependencies': {3: Fine()}},
            'dependency 3: its name has to be an identifier, as the target takes it by keyword',
        ),
        (
            {'dependencies': {'a': Missing()}},
            "dependency 'a': Missing has no provide(); it has to yield what the target gets",
        ),
        (
            {'dependencies': {'a': Returning()}},
            "dependency 'a': Returning.provide has to be a generator function that yields the value once",
        ),
        (
            {'dependencies': {'a': Asynchronous()}},
            "dependency 'a': Asynchronous.provide has to be a generator function that yields the value once",
        ),
        ({'dependencies': [Fine()]}, 'dependencies: wanted a dict of name to dependency, found a list'),
        ({'dependencies': None}, 'dependencies: wanted a dict of name to dependency, found a NoneType'),
        (
            {'translators': [MessageTranslator]},
            'translator: wanted an instance, found the class MessageTranslator; write MessageTranslator()',
        ),
        ({'translators': [len]}, 'translator: wanted an instance of MessageTranslator, found a '),
        ({'translators': MessageTranslator()}, 'translators: wanted a list of translators, found a Message'),
        ({'translators': 'upper'}, 'translators: wanted a list of translators, found a str'),
        ({'worker_class': Fine}, 'worker_class: wanted a subclass of Worker, found the class Fine'),
        ({'worker_class': 'Worker'}, 'worker_class: wanted a subclass of Worker, found a str'),
        ({'on_error': 'retry'}, "on_error: wanted 'dead_letter' or 'drop', found 'retry'"),
        *(
            (
                {'timeout_s': wrong},
                f'timeout_s: wanted seconds, more than 0 and at most 31622400, or None, found {wrong!r}',
            )
            for wrong in (0, -1.0, True, '3', math.inf, math.nan, 31_622_401)
        ),
        ({'on_error': None}, "on_error: wanted 'dead_letter' or 'drop', found None"),
        ({'on_error': ['drop']}, "on_error: wanted 'dead_letter' or 'drop', found ['drop']"),
    ],
    ids=str,
)
def test_each_fault_is_one_sentence(declared: dict[str, Any], fault: str) -> None:
    """It says what was wanted and what was found."""
    (only,) = faults(**declared)
    assert only.startswith(fault)


def test_all_faults_are_told_at_once() -> None:
    """Nobody starts a service five times to learn of five slips."""
    assert len(faults('run', dependencies={'a': Fine, 'b': 3}, translators=[len], on_error='retry')) == 5


def test_it_builds_its_worker() -> None:
    """Of its worker class, with all that one needs."""

    class Own(Worker):
        pass

    route, place = Route('tasks.run', worker_class=Own), fakes.place()
    arguments: Any = lambda payload: ((payload,), {})  # noqa: E731
    built = route.worker_for('the entrypoint', place, arguments, True)
    assert type(built) is Own
    assert (built.route, built.entrypoint, built.place) == (route, 'the entrypoint', place)
    assert (built.arguments, built.replies) == (arguments, True)


@pytest.mark.parametrize(
    ('on_error', 'outcome', 'settlement'),
    [
        ('dead_letter', SUCCEEDED, Settlement.ACK),
        ('dead_letter', FAILED, Settlement.DEAD_LETTER),
        ('dead_letter', NOT_RUN, Settlement.GIVE_BACK),
        ('drop', SUCCEEDED, Settlement.ACK),
        ('drop', FAILED, Settlement.ACK),
        ('drop', NOT_RUN, Settlement.GIVE_BACK),
    ],
)
def test_an_outcome_becomes_a_settlement(on_error: str, outcome: Outcome, settlement: Settlement) -> None:
    """Done is acked, failed as declared, and what did not run goes back even where failures are dropped."""
    assert Route('tasks.run', on_error=on_error).settlement(Message(b''), outcome) is settlement
