"""Retry: the policy's faults, its delays, and the errors that it covers."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenmicro.delays import LONGEST_S, STEPS_S, step_ms
from greenmicro.errors import ConfigError
from greenmicro.messages import Failure
from greenmicro.retry import Retry, name_of


class OwnError(ValueError):
    pass


class OtherError(OwnError):
    pass


@pytest.fixture
def facade() -> Iterator[str]:
    """A module that offers a class of another one, under a name of its own."""
    module: Any = ModuleType('gm_facade')
    module.PublicError = OwnError
    module.number = 3
    sys.modules['gm_facade'] = module
    yield 'gm_facade'
    del sys.modules['gm_facade']


def lineage(error: BaseException) -> tuple[str, ...]:
    return Failure.of('target error', error).lineage


def test_its_defaults_make_sense() -> None:
    """Five attempts over half a minute, for whatever was raised."""
    policy = Retry()
    assert not list(policy.faults())
    assert [policy.delay_s(count, lambda: 0.5) for count in range(1, 5)] == [1, 2, 4, 8]
    assert policy.covers(lineage(KeyError('x')))
    assert policy.covers(lineage(SystemExit(1)))


@pytest.mark.parametrize(
    ('given', 'fault'),
    [
        ({'max_attempts': 0}, 'max_attempts: wanted a whole number, 1 to 1000000, found 0'),
        ({'max_attempts': 10**7}, 'max_attempts: wanted a whole number, 1 to 1000000, found 10000000'),
        ({'max_attempts': True}, 'max_attempts: wanted a whole number, 1 to 1000000, found True'),
        ({'max_attempts': 2.0}, 'max_attempts: wanted a whole number, 1 to 1000000, found 2.0'),
        ({'initial_delay_s': -1}, 'initial_delay_s: wanted 0 to 86400 seconds, found -1'),
        ({'initial_delay_s': '1'}, "initial_delay_s: wanted 0 to 86400 seconds, found '1'"),
        ({'max_delay_s': 100_000}, 'max_delay_s: wanted 0 to 86400 seconds, found 100000'),
        ({'initial_delay_s': 700}, 'max_delay_s: wanted at least initial_delay_s, 700, found 600.0'),
        ({'factor': 0.5}, 'factor: wanted a number, at least 1, found 0.5'),
        ({'factor': float('nan')}, 'factor: wanted a number, at least 1, found nan'),
        ({'factor': None}, 'factor: wanted a number, at least 1, found None'),
        ({'jitter': 1.1}, 'jitter: wanted a number, 0 to 1, found 1.1'),
        ({'jitter': False}, 'jitter: wanted a number, 0 to 1, found False'),
        ({'on': ValueError}, 'on: wanted a tuple of exception classes, found one alone; write (ValueError,)'),
        (
            {'on': 'ValueError'},
            "on: wanted a tuple of exception classes, found one alone; write ('ValueError'",
        ),
        ({'on': None}, 'on: wanted a tuple of exception classes or their dotted names, found None'),
        ({'on': (int,)}, "on: wanted an exception class or its dotted name, found <class 'int'>"),
        ({'on': (ValueError(),)}, 'on: wanted an exception class or its dotted name, found ValueError()'),
        ({'on': ('a b',)}, "on: wanted an exception class or its dotted name, found 'a b'"),
        ({'on': ('',)}, "on: wanted an exception class or its dotted name, found ''"),
        ({'give_up_on': ('x.',)}, "give_up_on: wanted an exception class or its dotted name, found 'x.'"),
    ],
    ids=str,
)
def test_each_fault_is_one_sentence(given: dict[str, Any], fault: str) -> None:
    """It says what was wanted and what was found."""
    (only,) = Retry(**given).faults()
    assert only.startswith(fault)


def test_it_is_frozen_and_crosses_to_children() -> None:
    """With its classes and its names."""
    policy = Retry(on=(OwnError, 'requests.RequestException'))
    assert pickle.loads(pickle.dumps(policy)) == policy
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.max_attempts = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ('on', 'give_up_on', 'error', 'covered'),
    [
        ((OSError,), (), ConnectionResetError(), True),
        (('OSError',), (), ConnectionResetError(), True),
        (('builtins.OSError',), (), ConnectionResetError(), True),
        ((OSError,), (), ValueError(), False),
        ((), (), ValueError(), False),
        ((ValueError,), (OwnError,), ValueError(), True),
        ((ValueError,), (OwnError,), OwnError(), False),
        ((ValueError,), (OwnError,), OtherError(), False),
        ((OtherError,), (), OwnError(), False),
        ((f'{__name__}.OwnError',), (), OtherError(), True),
        ((BaseException,), ('KeyError', OwnError), OtherError(), False),
        ((Exception,), (), KeyboardInterrupt(), False),
    ],
    ids=str,
)
def test_errors_match_by_subclass(on: Any, give_up_on: Any, error: BaseException, covered: bool) -> None:
    """By class or by name, and `give_up_on` goes before `on`; the class itself is not needed for it."""
    assert Retry(on=on, give_up_on=give_up_on).covers(lineage(error)) is covered


def test_an_error_without_a_class_is_covered_where_all_are() -> None:
    """Such as a time limit that a process was killed at."""
    assert Retry().covers(())
    assert not Retry(on=(Exception,)).covers(())


def test_names_are_resolved_where_the_worker_runs(facade: str) -> None:
    """Under the names that the user gave; classes are known already."""
    policy = Retry(on=(f'{facade}.PublicError', 'OSError'), give_up_on=(KeyError,))
    assert policy.classes() == {
        'gm_facade.PublicError': OwnError,
        'builtins.OSError': OSError,
        name_of(KeyError): KeyError,
    }


@pytest.mark.parametrize(
    ('name', 'fault'),
    [
        ('gm_facade.PublicEror', "retry: error class 'gm_facade.PublicEror': module 'gm_facade' (without a"),
        ('zqxjkv_.Error', "retry: error class 'zqxjkv_.Error': there is no module 'zqxjkv_'"),
        ('ValueEror', "retry: error class 'builtins.ValueEror': module 'builtins' (without a file) has no"),
        ('gm_facade.number', "retry: 'gm_facade.number' is of type int, and no exception class"),
        ('builtins.int', "retry: 'builtins.int' is of type type, and no exception class"),
    ],
)
def test_a_name_that_leads_to_no_exception_class_is_refused(facade: str, name: str, fault: str) -> None:
    """Never retried for years because of a slip; all such names are told."""
    with pytest.raises(ConfigError) as caught:
        Retry(on=(name,), give_up_on=('no_such_module_zq.Error',)).classes()
    assert len(caught.value.faults) == 2
    assert caught.value.faults[0].startswith(fault)


POLICIES = st.builds(
    Retry,
    initial_delay_s=st.floats(0, 1_000),
    factor=st.floats(1, 1e6),
    max_delay_s=st.floats(1_000, LONGEST_S),
    jitter=st.floats(0, 1),
)
COUNTS = st.integers(1, 1_000_000)
CHANCES = st.floats(0, 1)


@given(POLICIES, COUNTS, CHANCES)
def test_every_delay_is_within_the_ladder_and_the_jitter(policy: Retry, count: int, chance: float) -> None:
    """However often it has failed, and whatever was configured."""
    delay_s = policy.delay_s(count, lambda: chance)
    plain_s = dataclasses.replace(policy, jitter=0).delay_s(count)
    assert policy.initial_delay_s <= plain_s <= policy.max_delay_s
    assert plain_s * (1 - policy.jitter) - 1e-6 <= delay_s <= plain_s * (1 + policy.jitter) + 1e-6
    assert step_ms(delay_s) / 1000 in STEPS_S


@given(POLICIES, COUNTS)
def test_delays_never_get_shorter(policy: Retry, count: int) -> None:
    """Jitter aside."""
    assert policy.delay_s(count, lambda: 0.5) <= policy.delay_s(count + 1, lambda: 0.5)


def test_jitter_spreads_over_steps() -> None:
    """Ten thousand that fail together do not all come back together."""
    steps = [step_ms(Retry(initial_delay_s=4.0).delay_s(1)) for _ in range(1_000)]
    assert {steps.count(step) > 100 for step in (2_000, 5_000, 10_000)} >= {True}
    assert len(set(steps)) > 1
