"""Settings: what a service runs with, frozen, and validated once from the user's config."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from greenmicro.addresses import Address
from greenmicro.errors import ConfigError
from greenmicro.keys import KEYS, MAX_CHILDREN, REQUIRED, TOTAL_PREFETCH, Key, document
from greenmicro.kinds import FaultError, found, nearest
from greenmicro.modes import WORKER_MODES, WorkerMode
from greenmicro.retry import Retry
from greenmicro.tls import TLS
from greenmicro.uris import masked

__all__ = ['KEYS', 'WORKER_MODES', 'Settings', 'WorkerMode', 'document']

_PREFIX = 'GREENMICRO_'
_NAMES = tuple(key.name for key in KEYS)


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """What a service runs with; the attributes are the rows of KEYS, in lower case."""

    amqp_uri: str
    amqp_ssl: TLS | None
    service_name: str
    worker_mode: WorkerMode
    max_workers: int
    force_max_workers: bool
    prefetch: int | None
    worker_setup: str | None
    max_tasks_per_child: int | None
    max_memory_per_child_mb: int | None
    max_crashes: int
    retry: Retry | None
    stop_timeout_s: float
    reconnect_max_s: float
    connect_timeout_s: float
    heartbeat_s: int
    hub_stall_warn_s: float
    hub_stall_limit_s: float
    confirm_timeout_s: float
    call_timeout_s: float
    max_body_mb: int
    queue_type: Literal['classic', 'quorum'] | None
    declare_exchanges: Literal['durable', 'auto_delete', 'never']
    health_address: Address | None
    http_address: Address
    max_request_mb: int
    max_requests: int
    fail_fast: bool
    log_format: Literal['text', 'json']

    @classmethod
    def load(cls, config: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
        """Validate a user's config.

        Args:
            config: The upper-case keys of KEYS.
            environ: `GREENMICRO_` and a key, as text, goes before the config.

        Raises:
            ConfigError: With every fault that was found.
        """
        if not isinstance(config, Mapping):
            raise ConfigError(f'the config must be a dict; found {type(config).__name__}')
        faults = [
            f'{name!r} in the config is no setting{nearest(str(name).upper(), _NAMES)}'
            for name in config
            if name not in _NAMES
        ]
        values: dict[str, Any] = {}
        for key in KEYS:
            try:
                values[key.name.lower()] = _value(key, config, environ)
            except ValueError as fault:
                faults.append(str(fault))
        faults += _plain_uris(values, _source('AMQP_SSL', environ))
        faults += _settle_workers(values, _source('MAX_WORKERS', environ))
        if faults:
            raise ConfigError(*faults)
        return cls(**values)

    @property
    def broker_name(self) -> str:
        """The URI for logs: as given, with `***` for each password."""
        return masked(self.amqp_uri)

    def prefetch_for(self, listeners: int) -> int:
        """Say how many messages each listener holds, running and pending.

        Args:
            listeners: How many there are; together they stay under TOTAL_PREFETCH.
        """
        if self.prefetch is not None:
            return self.prefetch
        wanted = self.max_workers + max(2, self.max_workers // 4)
        return max(1, min(wanted, (TOTAL_PREFETCH - 1) // max(1, listeners)))

    def __repr__(self) -> str:
        shown = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        shown |= {'amqp_uri': self.broker_name, 'worker_mode': self.worker_mode.name}
        return f'Settings({", ".join(f"{name}={value!r}" for name, value in shown.items())})'


def _source(name: str, environ: Mapping[str, str]) -> str:
    return f'{_PREFIX}{name} in the environment' if _PREFIX + name in environ else f'{name} in the config'


def _value(key: Key, config: Mapping[str, Any], environ: Mapping[str, str]) -> Any:
    """Take a setting from the environment, the config or its default; a ValueError has the fault."""
    name, kind, default = key.name, key.kind, key.default
    text = environ.get(_PREFIX + name)
    value = config.get(name) if text is None else text
    # What is None was not given; but None is no number of seconds, and may be meant as endless.
    if value is None and default is REQUIRED:
        raise ValueError(f'{name} is missing; wanted {kind.wanted}, in the config or as {_PREFIX}{name}')
    if (value is None and (default is None or name not in config)) or (text == '' and default is None):
        return default
    try:
        return kind.accept(value if text is None else kind.parse(text))
    except FaultError as fault:
        raise ValueError(f'{_source(name, environ)}: {fault}') from None
    except (ValueError, OverflowError):
        raise ValueError(f'{_source(name, environ)}: wanted {kind.wanted}; found {found(value)}') from None


def _plain_uris(values: dict[str, Any], source: str) -> Iterator[str]:
    """Yield what is wrong if encryption is set up and a URI goes without."""
    uris = values.get('amqp_uri', '').split(';')
    if values.get('amqp_ssl') is not None and any(uri.startswith('amqp:') for uri in uris):
        yield f'{source}: wanted with amqps:// in AMQP_URI; found amqp://, which is not encrypted'


def _settle_workers(values: dict[str, Any], source: str) -> Iterator[str]:
    """Fill in the number of workers, which depends on their place; yield what is wrong with it."""
    if 'worker_mode' not in values or 'max_workers' not in values:
        return
    place = values['worker_mode'].place
    if values['max_workers'] is None:
        values['max_workers'] = _cpus() if place == 'child' else 10
    elif place == 'child' and values['max_workers'] > MAX_CHILDREN and not values.get('force_max_workers'):
        wanted = f'wanted at most {MAX_CHILDREN} child processes, or FORCE_MAX_WORKERS set to True'
        yield f'{source}: {wanted}; found {values["max_workers"]}'


def _cpus() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return min(usable or 1, MAX_CHILDREN)
