"""Settings: what a service runs with, frozen, and validated once from the user's config."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from greenmicro.errors import ConfigError
from greenmicro.targets import check_path

#: All listeners of a service together hold fewer messages than this, unless PREFETCH says otherwise.
TOTAL_PREFETCH = 20_000
#: More child processes than this are taken for a slip, unless FORCE_MAX_WORKERS is set.
MAX_CHILDREN = 256
#: AMQP carries a prefetch and a heartbeat in 16 bits.
_SHORT = 65_535
_PREFIX = 'GREENMICRO_'
_REQUIRED = object()


class WorkerMode(NamedTuple):
    """Where workers run, and what becomes of pending messages at a stop.

    Attributes:
        name: What the user writes in WORKER_MODE.
        place: A greenlet of this process, or a child process.
        drains: Whether pending messages still run at a stop; else they go back to the queue.
    """

    name: str
    place: Literal['greenlet', 'child']
    drains: bool


WORKER_MODES: Mapping[str, WorkerMode] = {
    mode.name: mode
    for mode in (
        WorkerMode('thread', 'greenlet', drains=False),
        WorkerMode('greedy_thread', 'greenlet', drains=True),
        WorkerMode('process', 'child', drains=False),
        WorkerMode('greedy_process', 'child', drains=True),
    )
}


class _Kind(NamedTuple):
    """What a value may be.

    Attributes:
        wanted: What it must be, to be told when it is not.
        accept: Makes the setting from a value of the config; its ValueError may say what is wrong.
        parse: Makes a value from the text of an environment variable, or raises ValueError.
    """

    wanted: str
    accept: Callable[[Any], Any]
    parse: Callable[[str], Any] = str


class _FaultError(ValueError):
    """Says by itself what is wrong with a value."""


def _number(
    wanted: str,
    valid: Callable[[Any], bool],
    make: type[int] | type[float] = int,
    parse: type[int] | type[float] = int,
) -> _Kind:
    def accept(value: Any) -> Any:
        # By type and not isinstance: True is an int, and no number of workers.
        if type(value) not in {int, parse} or not -math.inf < value < math.inf or not valid(value):
            raise ValueError
        return make(value)

    return _Kind(wanted, accept, parse)


def _count(high: int | None = None) -> _Kind:
    limit = '' if high is None else f', at most {high}'
    return _number(f'a whole number, at least 1{limit}', lambda value: 1 <= value <= (high or value))


def _one_of(values: Mapping[str, Any]) -> _Kind:
    wanted = ', '.join(repr(value) for value in values)

    def accept(value: Any) -> Any:
        if not isinstance(value, str) or value not in values:
            raise _FaultError(f'wanted one of {wanted}; found {_found(value)}{_nearest(str(value), values)}')
        return values[value]

    return _Kind(f'one of {wanted}', accept)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _flag_of(text: str) -> bool | None:
    return {'true': True, '1': True, 'yes': True, 'false': False, '0': False, 'no': False}.get(text.lower())


def _is_heartbeat(value: float) -> bool:
    return 1 <= value <= _SHORT and value == int(value)


def _service_name(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 100:
        raise ValueError
    if any(mark.isspace() or not mark.isprintable() or mark == '/' for mark in value):
        raise ValueError
    return value


def _dotted_path(value: Any) -> str:
    if fault := check_path(value):
        raise _FaultError(fault)
    return str(value)


# Nothing of a URI is ever quoted: where one is malformed, any part of it may be the password.
_URI = re.compile(
    r'amqps?://(?:(?P<user>[^/?#\s]*)@)?(?:\[[\da-fA-F:.]+\]|[\w.%-]+)(?::(?P<port>[^/?#@:]*))?'
    r'(?:/[^?#@\s]*)?(?:\?[^#@\s]*)?'
)
_SECRET = re.compile(r'([^&=?]*(?:%|pass|pwd|secret|token)[^&=]*=)[^&]*', re.IGNORECASE)
_MEMORY = re.compile(r'memory://[\w.-]*/?')


def _uri(value: Any) -> str:
    if not isinstance(value, str):
        raise _FaultError(f'wanted a string; found {type(value).__name__}')
    if _MEMORY.fullmatch(value):
        return value
    hosts = value.split(';')
    for number, uri in enumerate(hosts, 1):
        if fault := _uri_fault(uri):
            which = f' (host {number} of {len(hosts)})' if len(hosts) > 1 else ''
            raise _FaultError(f'{fault}{which}')
    return value


def _uri_fault(uri: str) -> str | None:
    match = _URI.fullmatch(uri)
    if match is None and re.match(r'(?!amqps?:)[a-z][a-z0-9+.-]*://', uri, re.IGNORECASE):
        return 'the scheme is not accepted; accepted are amqp, amqps and, alone, memory'
    if match is None:
        return (
            'wanted a URI like amqp://user:password@host:5672/; in user, password and virtual host write '
            '@ : / ? # ; and white space as %40 %3A %2F %3F %23 %3B and %20'
        )
    port = match['port']
    if port is not None and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _SHORT):
        return f'the port is no number from 1 to {_SHORT}'
    return None


def _masked(uri: str) -> str:
    match = _URI.fullmatch(uri)
    if match is None or _uri_fault(uri):
        return uri if _MEMORY.fullmatch(uri) else '***'
    user, colon, _ = (match['user'] or '').partition(':')
    if colon:
        uri = f'{uri[: match.start("user")]}{user}:***{uri[match.end("user") :]}'
    address, mark, query = uri.partition('?')
    return address + mark + _SECRET.sub(r'\1***', query)


_POSITIVE = _number('seconds, more than 0', lambda value: value > 0, float, float)
_NOT_NEGATIVE = _number('seconds, at least 0', lambda value: value >= 0, float, float)
_WHOLE = _number(f'whole seconds, 1 to {_SHORT}', _is_heartbeat, int, float)
_FLAG = _Kind('True or False', _flag, _flag_of)
_PATH = _Kind('a dotted path', _dotted_path)
_QUEUE_TYPES = _one_of({'classic': 'classic', 'quorum': 'quorum'})
_DECLARES = _one_of({'durable': 'durable', 'auto_delete': 'auto_delete', 'never': 'never'})
_MODES = _one_of(WORKER_MODES)
_NAME = _Kind("1 to 100 characters, without white space, control characters and '/'", _service_name)
_URIS = _Kind("'amqp://user:password@host:5672/' (or amqps; several with ';' between) or 'memory://'", _uri)


class Key(NamedTuple):
    """One setting.

    Attributes:
        name: As users write it; the attribute of Settings is the same in lower case.
        kind: What its value may be, the unit included.
        default: What it is when not given.
        meaning: What it does, for the README.
    """

    name: str
    kind: _Kind
    default: Any
    meaning: str


KEYS = (
    Key('AMQP_URI', _URIS, _REQUIRED, 'Where the broker is; memory:// is one inside this process.'),
    Key('SERVICE_NAME', _NAME, _REQUIRED, 'The name of the service, in its queues and its exchange.'),
    Key('WORKER_MODE', _MODES, WORKER_MODES['thread'], 'Where workers run; the greedy ones drain.'),
    Key(
        'MAX_WORKERS',
        _count(),
        None,
        'Workers at a time, over all; else 10, in process modes one a CPU.',
    ),
    Key('FORCE_MAX_WORKERS', _FLAG, False, f'Allows more than {MAX_CHILDREN} child processes.'),
    Key('PREFETCH', _count(_SHORT), None, 'Messages that a listener holds; else a quarter over MAX_WORKERS.'),
    Key('WORKER_SETUP', _PATH, None, 'A function that each child process calls before it takes work.'),
    Key('MAX_TASKS_PER_CHILD', _count(), None, 'Messages after which a child process is replaced.'),
    Key('STOP_TIMEOUT_S', _NOT_NEGATIVE, 30.0, 'How long work may run on at a stop; then it is given back.'),
    Key('RECONNECT_MAX_S', _POSITIVE, 1.0, 'The longest wait between two attempts to connect.'),
    Key('CONNECT_TIMEOUT_S', _POSITIVE, 5.0, 'How long an attempt to connect may take.'),
    Key('HEARTBEAT_S', _WHOLE, 10, 'The interval of heartbeats on each connection.'),
    Key('CONFIRM_TIMEOUT_S', _POSITIVE, 10.0, "How long a publish waits for the broker's confirm."),
    Key('QUEUE_TYPE', _QUEUE_TYPES, None, 'How work queues are declared; else without a type.'),
    Key(
        'DECLARE_EXCHANGES',
        _DECLARES,
        'durable',
        'How event exchanges are declared; auto_delete beside old nameko.',
    ),
)
_NAMES = tuple(key.name for key in KEYS)


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """What a service runs with; the attributes are the rows of KEYS, in lower case."""

    amqp_uri: str
    service_name: str
    worker_mode: WorkerMode
    max_workers: int
    force_max_workers: bool
    prefetch: int | None
    worker_setup: str | None
    max_tasks_per_child: int | None
    stop_timeout_s: float
    reconnect_max_s: float
    connect_timeout_s: float
    heartbeat_s: int
    confirm_timeout_s: float
    queue_type: Literal['classic', 'quorum'] | None
    declare_exchanges: Literal['durable', 'auto_delete', 'never']

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
            f'{name!r} in the config is no setting{_nearest(str(name).upper(), _NAMES)}'
            for name in config
            if name not in _NAMES
        ]
        values: dict[str, Any] = {}
        for key in KEYS:
            try:
                values[key.name.lower()] = _value(key, config, environ)
            except ValueError as fault:
                faults.append(str(fault))
        faults += _settle_workers(values, _source('MAX_WORKERS', environ))
        if faults:
            raise ConfigError(*faults)
        return cls(**values)

    @property
    def broker_name(self) -> str:
        """The URI for logs: as given, with `***` for each password."""
        return ';'.join(_masked(uri) for uri in self.amqp_uri.split(';'))

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


def document() -> str:
    """Make the README's table of settings."""
    rows = ['| key | default | unit or values | meaning |', '|---|---|---|---|']
    for name, kind, default, meaning in KEYS:
        shown = default.name if isinstance(default, WorkerMode) else default
        text = 'required' if default is _REQUIRED else '-' if default is None else f'`{shown}`'
        rows.append(f'| `{name}` | {text} | {kind.wanted} | {meaning} |')
    return '\n'.join(rows) + '\n'


def _source(name: str, environ: Mapping[str, str]) -> str:
    return f'{_PREFIX}{name} in the environment' if _PREFIX + name in environ else f'{name} in the config'


def _value(key: Key, config: Mapping[str, Any], environ: Mapping[str, str]) -> Any:
    """Take a setting from the environment, the config or its default; a ValueError has the fault."""
    name, kind, default, _ = key
    text = environ.get(_PREFIX + name)
    value = config.get(name) if text is None else text
    # What is None was not given; but None is no number of seconds, and may be meant as endless.
    if value is None and default is _REQUIRED:
        raise ValueError(f'{name} is missing; wanted {kind.wanted}, in the config or as {_PREFIX}{name}')
    if (value is None and (default is None or name not in config)) or (text == '' and default is None):
        return default
    try:
        return kind.accept(value if text is None else kind.parse(text))
    except _FaultError as fault:
        raise ValueError(f'{_source(name, environ)}: {fault}') from None
    except (ValueError, OverflowError):
        raise ValueError(f'{_source(name, environ)}: wanted {kind.wanted}; found {_found(value)}') from None


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


def _found(value: Any) -> str:
    return f'{repr(value)[:60]} ({type(value).__name__})'


def _nearest(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches  # for a fault only

    near = get_close_matches(name, names, 1)
    return f"; did you mean '{near[0]}'?" if near else ''
