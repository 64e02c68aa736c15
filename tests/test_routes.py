"""Route: a declaration whose every fault is told at start, and the one decision about an outcome."""

from __future__ import annotations

import dataclasses
import math
from collections import UserDict
from collections.abc import Iterator
from typing import Any

import pytest

from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.messages import (
    ATTEMPT_HEADER,
    CRASHES_HEADER,
    NOT_RUN,
    SUCCEEDED,
    Failure,
    Message,
    Outcome,
    Reason,
    Settlement,
)
from greenmicro.retry import Retry
from greenmicro.routes import Route
from greenmicro.translators import MessageTranslator
from greenmicro.workers import Worker
from tests import fakes

SETTINGS = fakes.settings()
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
        retry=Retry(3, on=('no.such.module.Error',)),
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
        ({'retry': 3}, 'retry: wanted a Retry or None, found a int'),
        ({'retry': Retry}, 'retry: wanted a Retry or None, found the class Retry'),
        ({'retry': Retry(0)}, 'retry: max_attempts: wanted a whole number, 1 to 1000000, found 0'),
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
    route = Route('tasks.run', on_error=on_error)
    assert route.settlement(Message(b''), outcome, SETTINGS, True) is settlement


RETRIED, DEAD = Settlement.RETRY, Settlement.DEAD_LETTER
PLAIN = ('builtins.ValueError', 'builtins.Exception', 'builtins.BaseException')


def settled(
    failure: Failure, *, policy: Retry | None = None, config: Retry | None = None, retries: bool = True,
    attempt: int = 1, crashes: int = 0,
) -> Settlement:  # fmt: skip
    headers = {ATTEMPT_HEADER: attempt - 1, CRASHES_HEADER: crashes}
    settings = fakes.settings(RETRY=config, MAX_CRASHES=3)
    message, outcome = Message(b'', headers=headers), Outcome.failed(failure)
    return Route('tasks.run', retry=policy).settlement(message, outcome, settings, retries)


def failed(reason: str = Reason.TARGET, delay_s: float | None = None) -> Failure:
    return Failure(reason, 'ValueError: v', PLAIN, '', delay_s)


@pytest.mark.parametrize(
    ('policy', 'config', 'attempt', 'settlement'),
    [
        (None, None, 1, DEAD),
        (Retry(3), None, 1, RETRIED),
        (Retry(3), None, 2, RETRIED),
        (Retry(3), None, 3, DEAD),
        (Retry(3), None, 4, DEAD),
        (None, Retry(3), 2, RETRIED),
        (None, Retry(3), 3, DEAD),
        (Retry(1), Retry(3), 1, DEAD),
        (Retry(5), Retry(3), 4, RETRIED),
        (Retry(3, on=(OSError,)), None, 1, DEAD),
        (Retry(3, on=('ValueError',)), None, 1, RETRIED),
        (Retry(3, give_up_on=(Exception,)), None, 1, DEAD),
        (Retry(3, on=(OSError,)), Retry(3), 1, DEAD),
    ],
    ids=str,
)
def test_a_policy_gives_a_failed_message_its_attempts(
    policy: Retry | None, config: Retry | None, attempt: int, settlement: Settlement
) -> None:
    """The route's own goes before the service's, in all of it."""
    assert settled(failed(), policy=policy, config=config, attempt=attempt) is settlement


@pytest.mark.parametrize('reason', [Reason.TARGET, Reason.TRANSLATOR, Reason.DEPENDENCY, Reason.TIMEOUT])
def test_each_step_that_may_succeed_next_time_is_retried(reason: str) -> None:
    """Whatever the user's own code raises, and running out of time."""
    assert settled(failed(reason), policy=Retry()) is RETRIED


@pytest.mark.parametrize('reason', sorted(Reason.FOR_GOOD))
def test_what_can_never_succeed_is_not(reason: str) -> None:
    """Not even where everything is retried."""
    assert settled(failed(reason), policy=Retry()) is DEAD


def test_nothing_is_retried_for_good_by_mistake() -> None:
    """The reasons that are never retried are these."""
    assert {
        'unreadable properties',
        'content type refused',
        'undecodable body',
        'target not found',
        'result not encodable',
        'rejected',
        'arguments do not fit',
        'no such method',
    } == Reason.FOR_GOOD


@pytest.mark.parametrize(
    ('policy', 'attempt', 'settlement'),
    [
        (None, 4, RETRIED),
        (None, 5, DEAD),
        (Retry(2), 1, RETRIED),
        (Retry(2), 2, DEAD),
        (Retry(1), 1, DEAD),
        (Retry(2, on=()), 1, RETRIED),
    ],
    ids=str,
)
def test_retry_later_has_the_policys_attempts(
    policy: Retry | None, attempt: int, settlement: Settlement
) -> None:
    """Five where there is no policy; the errors that it covers do not matter."""
    later = failed(Reason.RETRY_LATER, 7.0)
    assert settled(later, policy=policy, attempt=attempt) is settlement


@pytest.mark.parametrize('policy', [None, Retry(1), Retry(9, give_up_on=(BaseException,))], ids=str)
@pytest.mark.parametrize(('crashes', 'settlement'), [(0, RETRIED), (1, RETRIED), (2, DEAD), (5, DEAD)])
def test_a_lost_worker_is_retried_whatever_the_policy(
    policy: Retry | None, crashes: int, settlement: Settlement
) -> None:
    """Until MAX_CRASHES of them."""
    lost = Failure(Reason.WORKER_LOST, 'worker lost: killed by SIGKILL')
    assert settled(lost, policy=policy, crashes=crashes, attempt=9) is settlement


@pytest.mark.parametrize('failure', [failed(), failed(Reason.RETRY_LATER, 1), failed(Reason.WORKER_LOST)])
def test_where_nothing_can_come_again_it_fails_for_good(failure: Failure) -> None:
    """As at a timer, whose next tick comes anyway."""
    assert settled(failure, policy=Retry(), retries=False) is DEAD


@pytest.mark.parametrize(
    ('policy', 'config', 'failure', 'delay_s'),
    [
        (Retry(initial_delay_s=3), Retry(), failed(), 12),
        (None, Retry(initial_delay_s=5), failed(), 20),
        (Retry(initial_delay_s=3), None, failed(Reason.RETRY_LATER, 0.5), 0.5),
        (None, None, failed(Reason.RETRY_LATER, 70), 70),
        (None, None, failed(Reason.WORKER_LOST), 2),
        (Retry(initial_delay_s=3), None, failed(Reason.WORKER_LOST), 6),
    ],
    ids=str,
)
def test_the_delay_is_the_policys_or_the_targets_own(
    policy: Retry | None, config: Retry | None, failure: Failure, delay_s: float
) -> None:
    """It grows with the attempts, or with the crashes; here the third attempt, after one crash."""
    message = Message(b'', headers={ATTEMPT_HEADER: 2, CRASHES_HEADER: 1})
    route = Route('tasks.run', retry=policy)
    assert route.delay_s(message, failure, fakes.settings(RETRY=config), lambda: 0.5) == delay_s
