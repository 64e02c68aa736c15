"""Settings: what is accepted, what is refused and what never leaks."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
from typing import Any

import pytest

from greenmicro.errors import ConfigError
from greenmicro.retry import Retry
from greenmicro.settings import KEYS, WORKER_MODES, Settings

MINIMAL = {'AMQP_URI': 'amqp://guest:guest@localhost:5672', 'SERVICE_NAME': 'shop'}


def load(**config: Any) -> Settings:
    return Settings.load({**MINIMAL, **config}, {})


def faults(environ: dict[str, str] | None = None, **config: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        Settings.load({**MINIMAL, **config}, environ or {})
    return tuple(caught.value.faults)


def test_two_keys_suffice_and_the_rest_has_its_defaults() -> None:
    """A URI and a name make settings; every other key has the documented default."""
    settings = load()
    assert settings.worker_mode is WORKER_MODES['thread']
    assert (settings.max_workers, settings.prefetch, settings.worker_setup) == (10, None, None)
    assert (settings.stop_timeout_s, settings.reconnect_max_s, settings.connect_timeout_s) == (30.0, 1.0, 5.0)
    assert (settings.heartbeat_s, settings.confirm_timeout_s) == (10, 10.0)
    assert (settings.queue_type, settings.declare_exchanges) == (None, 'durable')
    assert (settings.max_tasks_per_child, settings.force_max_workers) == (None, False)


def test_the_attributes_are_the_keys() -> None:
    """The one table of keys and the record have the same names in the same order."""
    assert [key.name.lower() for key in KEYS] == [field.name for field in dataclasses.fields(Settings)]


def test_settings_are_frozen_and_pickle() -> None:
    """Settings cross to child processes unchanged, and nobody alters them."""
    settings = load(WORKER_MODE='greedy_process', MAX_WORKERS=2)
    assert pickle.loads(pickle.dumps(settings)) == settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.max_workers = 3  # type: ignore[misc]


def test_all_faults_are_told_together() -> None:
    """One error lists every fault, each with where it came from."""
    found = faults({'GREENMICRO_PREFETCH': 'many'}, AMQP_URL='x', MAX_WORKERS='three', HEARTBEAT_S=0)
    assert len(found) == 4
    assert found[0] == "'AMQP_URL' in the config is no setting; did you mean 'AMQP_URI'?"
    assert found[1] == "MAX_WORKERS in the config: wanted a whole number, at least 1; found 'three' (str)"
    assert found[2].startswith('GREENMICRO_PREFETCH in the environment: wanted a whole number')
    assert found[3].startswith('HEARTBEAT_S in the config: wanted whole seconds')


@pytest.mark.parametrize('config', [None, [], 'AMQP_URI', 3])
def test_a_config_that_is_no_mapping_is_refused(config: Any) -> None:
    """Anything but a mapping is one clear fault."""
    with pytest.raises(ConfigError, match='the config must be a dict; found'):
        Settings.load(config, {})


@pytest.mark.parametrize(('wrong', 'meant'), [('worker_mode', 'WORKER_MODE'), ('MAX_WORKER', 'MAX_WORKERS')])
def test_an_unknown_key_names_the_nearest(wrong: str, meant: str) -> None:
    """A misspelt key, lower-case ones too, is met with the one that was meant."""
    assert faults(**{wrong: 1}) == (f"'{wrong}' in the config is no setting; did you mean '{meant}'?",)


def test_an_unknown_key_with_nothing_near_is_named_alone() -> None:
    """Where no known key is near, none is suggested; keys need not be strings."""
    with pytest.raises(ConfigError) as caught:
        Settings.load({**MINIMAL, 3: 4}, {})  # type: ignore[dict-item]
    assert caught.value.faults == ('3 in the config is no setting',)


@pytest.mark.parametrize('config', [{}, {'AMQP_URI': None, 'SERVICE_NAME': None}])
def test_what_is_required_and_missing_is_told_with_what_would_do(config: dict[str, Any]) -> None:
    """A missing URI offers memory://, and where to set it; None, as from os.environ.get, is missing."""
    with pytest.raises(ConfigError) as caught:
        Settings.load(config, {})
    uri, name = caught.value.faults
    assert uri.startswith('AMQP_URI is missing')
    assert "'memory://'" in uri
    assert uri.endswith('GREENMICRO_AMQP_URI')
    assert name.startswith('SERVICE_NAME is missing')


def test_the_environment_goes_before_the_config() -> None:
    """A variable replaces a key of the config, read as the key's type; unknown variables are left alone."""
    settings = Settings.load(
        {**MINIMAL, 'MAX_WORKERS': 'overridden, so not looked at'},
        {
            'GREENMICRO_AMQP_URI': 'memory://',
            'GREENMICRO_MAX_WORKERS': '7',
            'GREENMICRO_STOP_TIMEOUT_S': '2.5',
            'GREENMICRO_HEARTBEAT_S': '20',
            'GREENMICRO_FORCE_MAX_WORKERS': 'Yes',
            'GREENMICRO_PREFETCH': '',
            'GREENMICRO_WORKER_MODE': 'process',
            'GREENMICRO_SOMETHING': 'else',
        },
    )
    assert (settings.amqp_uri, settings.max_workers, settings.stop_timeout_s) == ('memory://', 7, 2.5)
    assert (settings.heartbeat_s, settings.force_max_workers, settings.prefetch) == (20, True, None)
    assert settings.worker_mode.name == 'process'


def test_an_empty_required_variable_is_a_fault() -> None:
    """A variable that is set but empty must not look healthy."""
    (fault,) = faults({'GREENMICRO_AMQP_URI': ''})
    assert fault.startswith('GREENMICRO_AMQP_URI in the environment: wanted a URI')
    (fault,) = faults({'GREENMICRO_FORCE_MAX_WORKERS': ''})
    assert fault == "GREENMICRO_FORCE_MAX_WORKERS in the environment: wanted True or False; found '' (str)"


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('MAX_WORKERS', True),
        ('PREFETCH', 65_536),
        ('MAX_TASKS_PER_CHILD', -1),
        ('STOP_TIMEOUT_S', None),
        ('STOP_TIMEOUT_S', 10**400),
        ('RECONNECT_MAX_S', 0),
        ('CONNECT_TIMEOUT_S', float('inf')),
        ('CONFIRM_TIMEOUT_S', '5'),
        ('HEARTBEAT_S', 2.5),
        ('FORCE_MAX_WORKERS', 1),
        ('WORKER_MODE', None),
        ('QUEUE_TYPE', 'stream'),
        ('DECLARE_EXCHANGES', True),
        ('WORKER_SETUP', 'setup'),
        ('SERVICE_NAME', 'a b'),
    ],
)
def test_a_value_that_is_not_wanted_is_one_fault(key: str, value: Any) -> None:
    """A wrong type or a value out of range is refused, naming the key and what was found."""
    (fault,) = faults(**{key: value})
    assert fault.startswith(f'{key} in the config: wanted ')
    assert 'found ' in fault


@pytest.mark.parametrize(
    ('key', 'value', 'kept'),
    [
        ('WORKER_MODE', 'greedy_process', WORKER_MODES['greedy_process']),
        ('PREFETCH', 65_535, 65_535),
        ('STOP_TIMEOUT_S', 0, 0.0),
        ('HEARTBEAT_S', 20.0, 20),
        ('QUEUE_TYPE', 'quorum', 'quorum'),
        ('DECLARE_EXCHANGES', 'auto_delete', 'auto_delete'),
        ('WORKER_SETUP', 'package.setup', 'package.setup'),
        ('MAX_TASKS_PER_CHILD', None, None),
    ],
)
def test_a_value_that_is_wanted_is_kept_in_its_type(key: str, value: Any, kept: Any) -> None:
    """What is accepted becomes the key's own type."""
    found = getattr(load(**{key: value}), key.lower())
    assert (found, type(found)) == (kept, type(kept))


def test_a_misspelt_mode_names_the_nearest() -> None:
    """WORKER_MODE suggests what was meant, and lists all."""
    (fault,) = faults(WORKER_MODE='Greedy-Thread')
    assert fault.startswith(
        "WORKER_MODE in the config: wanted one of 'thread', 'greedy_thread', 'process', '"
    )
    assert fault.endswith("did you mean 'greedy_thread'?")


def test_a_malformed_uri_is_told_with_its_key_and_not_shown() -> None:
    """Nor is it in the repr, should it get past us."""
    (fault,) = faults(AMQP_URI='amqp://u:hun/ter@h')
    assert fault.startswith('AMQP_URI in the config: wanted a URI like amqp://user:password@host')
    assert 'hun' not in fault
    assert "amqp_uri='***'" in repr(dataclasses.replace(load(), amqp_uri='amqp://u:hun/ter@h'))


def test_process_modes_default_to_the_usable_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many children as this process may use CPUs; all CPUs where the system does not tell."""
    assert load(WORKER_MODE='process').max_workers == min(len(os.sched_getaffinity(0)), 256)
    monkeypatch.delattr(os, 'sched_getaffinity')
    assert load(WORKER_MODE='process').max_workers == min(os.cpu_count() or 1, 256)


def test_many_children_have_to_be_forced() -> None:
    """Over 256 children are a slip unless forced; greenlets may be as many as one likes."""
    (fault,) = faults(WORKER_MODE='process', MAX_WORKERS=257)
    assert fault.startswith('MAX_WORKERS in the config: wanted at most 256 child processes')
    (fault,) = faults({'GREENMICRO_MAX_WORKERS': '300'}, WORKER_MODE='process')
    assert fault.startswith('GREENMICRO_MAX_WORKERS in the environment')
    assert load(WORKER_MODE='process', MAX_WORKERS=256).max_workers == 256
    assert load(WORKER_MODE='process', MAX_WORKERS=257, FORCE_MAX_WORKERS=True).max_workers == 257
    assert load(WORKER_MODE='thread', MAX_WORKERS=5_000).max_workers == 5_000


@pytest.mark.parametrize(
    ('workers', 'listeners', 'prefetch'),
    [(1, 1, 3), (3, 1, 5), (10, 1, 12), (100, 1, 125), (100, 0, 125), (100, 1_000, 19), (10, 30_000, 1)],
)
def test_prefetch_is_a_quarter_over_the_workers(workers: int, listeners: int, prefetch: int) -> None:
    """MAX_WORKERS and max(2, a quarter), scaled so that all listeners stay under 20,000, at least 1."""
    assert load(MAX_WORKERS=workers).prefetch_for(listeners) == prefetch


def test_prefetch_can_be_set() -> None:
    """PREFETCH is taken as it is, however many listeners there are."""
    assert load(PREFETCH=500).prefetch_for(1_000) == 500


def test_repr_shows_all_but_the_password() -> None:
    """A repr in a log or a traceback names every setting and no secret."""
    settings = load(AMQP_URI='amqp://guest:hunter2@localhost')
    assert settings.amqp_uri == 'amqp://guest:hunter2@localhost'
    assert settings.broker_name == 'amqp://guest:***@localhost'
    shown = repr(settings)
    assert f'amqp_uri={settings.broker_name!r}' in shown
    assert 'hunter2' not in shown
    assert "worker_mode='thread', max_workers=10" in shown


def test_settings_import_nothing_but_the_standard_library() -> None:
    """Children import them."""
    source = 'import sys, greenmicro.settings; print(*sys.modules)'
    run = subprocess.run([sys.executable, '-S', '-c', source], capture_output=True, text=True, check=True)
    assert not {'gevent', 'kombu', 'amqp'} & set(run.stdout.split())


@pytest.mark.parametrize(
    ('given', 'policy'),
    [
        (Retry(3), Retry(3)),
        ({'max_attempts': 3, 'on': (OSError,)}, Retry(3, on=(OSError,))),
        ({}, Retry()),
    ],
    ids=str,
)
def test_retries_are_a_policy_or_its_arguments(given: Any, policy: Retry) -> None:
    """They hold where a route does not say; and nothing is retried unless somebody says so."""
    assert load(RETRY=given).retry == policy
    assert load().retry is None


def test_retries_in_the_environment_are_json() -> None:
    """Errors are given by name there."""
    environ = {'GREENMICRO_RETRY': '{"max_attempts": 2, "on": ["OSError"]}'}
    policy = Settings.load({**MINIMAL, 'RETRY': Retry(9)}, environ).retry
    assert policy == Retry(2, on=['OSError'])


@pytest.mark.parametrize(
    ('given', 'fault'),
    [
        (3, 'wanted a Retry, or its arguments as a dict'),
        (Retry, 'wanted a Retry, or its arguments as a dict'),
        ({'attempts': 3}, "'attempts' is no argument of Retry; did you mean 'max_attempts'?"),
        (
            {'max_attempts': 0, 'factor': 0},
            'max_attempts: wanted a whole number, 1 to 1000000, found 0; factor:',
        ),
        (Retry(jitter=2), 'jitter: wanted a number, 0 to 1, found 2'),
    ],
    ids=str,
)
def test_retries_that_make_no_sense_are_told(given: Any, fault: str) -> None:
    """As any other value."""
    (only,) = faults(RETRY=given)
    assert only.startswith(f'RETRY in the config: {fault}')


def test_retries_in_the_environment_that_are_no_json_are_told() -> None:
    """With where they are."""
    for text in ('{', '3'):
        (only,) = faults({'GREENMICRO_RETRY': text})
        assert only.startswith('GREENMICRO_RETRY in the environment: wanted a Retry, or its arguments')
