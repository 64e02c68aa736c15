"""What is wrong with how a service is put together, found before anything is imported or started."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from greenmicro.brokers import broker_class
from greenmicro.entrypoints import Entrypoint
from greenmicro.errors import ConfigError
from greenmicro.settings import Settings


def check(
    entrypoints: Iterable[Entrypoint],
    config: Mapping[str, Any],
    environ: Mapping[str, str],
    found: Iterable[str],
) -> tuple[list[Entrypoint], Settings]:
    """Check how a service is put together, without importing a target or starting anything.

    Args:
        entrypoints: The user's list.
        config: The user's config.
        environ: The environment, which goes over it.
        found: Faults that were found elsewhere.

    Raises:
        ConfigError: With all faults at once.
    """
    faults = list(found)
    settings = None
    try:
        settings = Settings.load(config, environ)
    except ConfigError as error:
        faults += error.faults
    if not isinstance(entrypoints, Iterable) or isinstance(entrypoints, (str, Mapping)):
        raise ConfigError(*faults, f'entrypoints: wanted a list of entrypoints, found {entrypoints!r}')
    listed = list(entrypoints)
    if not listed:
        faults.append('entrypoints: wanted at least one, found an empty list')
    for number, entrypoint in enumerate(listed):
        where = f'entrypoint {number + 1}'
        if entrypoint in listed[:number]:
            faults.append(f'{where} ({entrypoint.name}): stands in the list twice')
        elif isinstance(entrypoint, Entrypoint):
            faults += [f'{where} ({entrypoint.name}): {fault}' for fault in entrypoint.faults(settings)]
        else:
            faults.append(f'{where}: wanted an instance of Entrypoint, found {entrypoint!r}')
    if not faults:
        assert settings is not None
        faults += _clashes(listed, settings)
    if faults or settings is None:
        raise ConfigError(*faults)
    return listed, settings


def warnings(entrypoints: Iterable[Entrypoint], settings: Settings) -> Iterator[str]:
    """Yield a sentence for everything that may work, or not."""
    allowed = broker_class(settings.amqp_uri).consumer_timeout_s
    if allowed is None:
        return
    for entrypoint in entrypoints:
        limit = entrypoint.route.timeout_s
        # What keeps no dead letters has no queue.
        if limit is not None and limit >= allowed and entrypoint.dead_letters:
            yield (
                f'{entrypoint.name}: its timeout_s of {limit:g} s is not below the {allowed:g} s after which '
                f'RabbitMQ takes a message back that is not acknowledged, and it would run again: raise '
                f'consumer_timeout in rabbitmq.conf, if it was not'
            )


def _clashes(entrypoints: Sequence[Entrypoint], settings: Settings) -> Iterator[str]:
    claimed: dict[str, Entrypoint] = {}
    for entrypoint in entrypoints:
        claim = entrypoint.claim(settings)
        if claim is None:
            continue
        first = claimed.setdefault(claim, entrypoint)
        if first is not entrypoint:
            yield (
                f'{first.name} and {entrypoint.name} would share {claim}, and each get a part of its '
                f'messages: name another one, or route both through one target'
            )
