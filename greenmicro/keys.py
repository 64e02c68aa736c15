"""The table of settings: each key with what it may be, its default and its meaning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from greenmicro import kinds
from greenmicro.addresses import Address
from greenmicro.kinds import Kind
from greenmicro.modes import WORKER_MODES, WorkerMode

#: All listeners of a service together hold fewer messages than this, unless PREFETCH says otherwise.
TOTAL_PREFETCH = 20_000
#: More child processes than this are taken for a slip, unless FORCE_MAX_WORKERS is set.
MAX_CHILDREN = 256
#: In place of a default.
REQUIRED = object()


class Key(NamedTuple):
    """One setting.

    Attributes:
        name: As users write it; the attribute of Settings is the same in lower case.
        kind: What its value may be, the unit included.
        default: What it is when not given; REQUIRED when it must be.
        meaning: What it does, a sentence for the README.
        unset: What holds when it is not given, for the README; only where the default is None.
    """

    name: str
    kind: Kind
    default: Any
    meaning: str
    unset: str = ''


KEYS = (
    Key(
        'AMQP_URI',
        kinds.URIS,
        REQUIRED,
        'Where the broker is; `memory://` is one inside this process, for a first try and for tests.',
    ),
    Key(
        'AMQP_SSL',
        kinds.TLS_OPTIONS,
        None,
        'Whom an amqps connection trusts and what it shows of us; in the environment as JSON.',
        unset='what the system trusts, verified',
    ),
    Key(
        'SERVICE_NAME',
        kinds.NAME,
        REQUIRED,
        'The name of this service; its queues and its event exchange are named after it.',
    ),
    Key(
        'WORKER_MODE',
        kinds.one_of(WORKER_MODES),
        WORKER_MODES['thread'],
        'Whether a worker is a greenlet or a child process; at a stop the greedy modes run the pending '
        'messages, the others give them back to the queue.',
    ),
    Key(
        'MAX_WORKERS',
        kinds.count(),
        None,
        'How many messages the service works on at a time, over all its entrypoints.',
        unset='10; in process modes the number of CPUs',
    ),
    Key(
        'FORCE_MAX_WORKERS',
        kinds.FLAG,
        False,
        f'Allows more than {MAX_CHILDREN} child processes, which are refused as a slip otherwise.',
    ),
    Key(
        'PREFETCH',
        kinds.count(kinds.SHORT),
        None,
        'How many messages each listener holds, those that run and those that wait for a worker.',
        unset='`MAX_WORKERS + max(2, MAX_WORKERS // 4)`; '
        f'fewer where all listeners together would hold {TOTAL_PREFETCH:,}',
    ),
    Key(
        'WORKER_SETUP',
        kinds.PATH,
        None,
        'A function that runs once in each worker process before the first target is imported '
        '(`django.setup` and the like).',
        unset='none',
    ),
    Key(
        'MAX_TASKS_PER_CHILD',
        kinds.count(),
        None,
        'After so many messages a child process is replaced by a new one; it bounds what targets leak.',
        unset='no limit',
    ),
    Key(
        'MAX_MEMORY_PER_CHILD_MB',
        kinds.count(),
        None,
        'A child process that holds more resident memory than so many megabytes when it has done a message '
        'is replaced by a new one; no message is interrupted for it.',
        unset='no limit',
    ),
    Key(
        'MAX_CRASHES',
        kinds.count(),
        3,
        'A message that took its worker process with it so many times is dead-lettered as `worker lost`.',
    ),
    Key(
        'RETRY',
        kinds.RETRY,
        None,
        'How often and when a failed message is tried again where its route does not say.',
        unset='not at all',
    ),
    Key(
        'STOP_TIMEOUT_S',
        kinds.SECONDS_FROM_0,
        30.0,
        'How long work may go on at a stop; what still runs then is interrupted and goes back to the queue.',
    ),
    Key(
        'RECONNECT_MAX_S',
        kinds.SECONDS,
        1.0,
        'The longest wait between two attempts to connect to a broker that is away.',
    ),
    Key('CONNECT_TIMEOUT_S', kinds.SECONDS, 5.0, 'How long one attempt to connect may take.'),
    Key(
        'HEARTBEAT_S',
        kinds.WHOLE_SECONDS,
        10,
        'The interval of heartbeats on a connection; one that was silent for two is given up and made anew.',
    ),
    Key(
        'HUB_STALL_WARN_S',
        kinds.SECONDS,
        1.0,
        'A target that lets nothing else run in this process for so long is named in a warning.',
    ),
    Key(
        'HUB_STALL_LIMIT_S',
        kinds.SECONDS,
        300.0,
        'How long heartbeats go on while a target lets nothing else run in this process; after that the '
        'broker may give its messages to others.',
    ),
    Key(
        'CONFIRM_TIMEOUT_S',
        kinds.SECONDS,
        10.0,
        'How long a publish waits for the broker to confirm the message, before it raises.',
    ),
    Key(
        'CALL_TIMEOUT_S',
        kinds.SECONDS,
        30.0,
        'How long a call of another service waits for its reply, before it raises.',
    ),
    Key(
        'MAX_BODY_MB',
        kinds.count(),
        64,
        'A message with a larger body, in megabytes, is dead-lettered unread; so is one that grows over it '
        'when it is unpacked.',
    ),
    Key(
        'QUEUE_TYPE',
        kinds.one_of({'classic': 'classic', 'quorum': 'quorum'}),
        None,
        'The type that work queues are declared with; unset leaves it to the broker.',
        unset='unset',
    ),
    Key(
        'DECLARE_EXCHANGES',
        kinds.one_of({'durable': 'durable', 'auto_delete': 'auto_delete', 'never': 'never'}),
        'durable',
        'How event exchanges are declared: `auto_delete` to share them with old nameko services, `never` '
        'where others declare them.',
    ),
    Key(
        'HEALTH_ADDRESS',
        kinds.ADDRESS,
        None,
        'Where `/livez` and `/readyz` are answered over HTTP.',
        unset='nowhere',
    ),
    Key(
        'HTTP_ADDRESS',
        kinds.ADDRESS,
        Address('127.0.0.1', 8000),
        'Where HTTPEntrypoints are asked; `:8000` for all addresses of the machine.',
    ),
    Key(
        'MAX_REQUEST_MB',
        kinds.count(),
        10,
        'A request over HTTP with a larger body, in megabytes, is refused.',
    ),
    Key(
        'MAX_REQUESTS',
        kinds.count(),
        500,
        'So many requests over HTTP run or wait at a time; more are refused, to come again. Twice as many '
        'clients may be connected.',
    ),
    Key(
        'FAIL_FAST',
        kinds.FLAG,
        False,
        'Whether a service whose broker is not there within `CONNECT_TIMEOUT_S` (for each host) at its '
        'start ends with an error, instead of waiting for it.',
    ),
    Key(
        'LOG_FORMAT',
        kinds.one_of({'text': 'text', 'json': 'json'}),
        'text',
        'With `json` each line of the log is a JSON object, with service, entrypoint, call id and message '
        'id; `text` leaves the logging as the program has set it up.',
    ),
)


def document() -> str:
    """Make the README's table of settings."""
    rows = [_row(('key', 'default', 'unit or values', 'meaning')), '|---|---|---|---|']
    for key in KEYS:
        rows.append(_row((f'`{key.name}`', _default(key), key.kind.wanted, key.meaning)))
    return '\n'.join(rows) + '\n'


def _row(cells: Iterable[str]) -> str:
    return f'| {" | ".join(cell.replace("|", chr(92) + "|") for cell in cells)} |'


def _default(key: Key) -> str:
    if key.default is REQUIRED:
        return 'required'
    if key.default is None:
        return key.unset
    return f'`{key.default.name if isinstance(key.default, WorkerMode) else key.default}`'
