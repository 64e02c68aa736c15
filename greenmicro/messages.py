"""The frozen values that travel: Message in, Outcome and Settlement back, Publication out.

They are named tuples: one is built for every message, and a frozen dataclass of this size costs
five times as much to build.
"""

from __future__ import annotations

import enum
import json
import traceback as tracebacks
from collections.abc import Mapping
from typing import Any, NamedTuple

#: Shared by all messages without headers; a plain dict, as it has to cross the pipe.
EMPTY: Mapping[str, Any] = {}

#: How many attempts at a message ended in failure before this delivery.
ATTEMPT_HEADER = 'greenmicro.attempt'
MOST_ATTEMPTS = 1_000_000
#: How many child processes a message took with it.
CRASHES_HEADER = 'greenmicro.crashes'
#: How many services left it unsettled when they ended, or lost their connection: of it, or beside it.
SUSPICIONS_HEADER = 'greenmicro.suspicions'

#: A traceback in a header is capped: at 200 kB of headers the broker drops the connection (501).
TRACEBACK_LIMIT = 8_000
MESSAGE_LIMIT = 1_000
#: Of an exception's arguments so many are told.
ARGUMENTS_MOST = 10
#: ... and each that is not a text in so many characters, or else as a text that is cut.
ARGUMENT_LIMIT = 10_000


class Message(NamedTuple):
    """One message as it came from a broker, or as an entrypoint made it; never decoded here.

    Attributes:
        body: The raw body.
        properties: AMQP basic properties by their names in the specification (`content_type`,
            `message_id`, `correlation_id`, `reply_to`, `timestamp`, ...), headers aside.
        headers: The application headers.
        exchange: Where it was published.
        routing_key: With which routing key.
        queue: The queue that it was read from; '' when it came from no broker.
        redelivered: Whether the broker says that it was delivered before.
        unreadable: The raw property bytes when they cannot be read; else None.
        delivery: The broker's own handle; opaque, and it stays in the parent process.
    """

    body: bytes
    properties: Mapping[str, Any] = EMPTY
    headers: Mapping[str, Any] = EMPTY
    exchange: str = ''
    routing_key: str = ''
    queue: str = ''
    redelivered: bool = False
    unreadable: bytes | None = None
    delivery: Any = None

    @property
    def attempt(self) -> int:
        """Which attempt at this message is running: one more than its header counts."""
        return self._count(ATTEMPT_HEADER) + 1

    @property
    def crashes(self) -> int:
        """How many child processes ended while they ran this message."""
        return self._count(CRASHES_HEADER)

    @property
    def suspicions(self) -> int:
        """How many services ended, or lost their connection, while they held this message."""
        return self._count(SUSPICIONS_HEADER)

    @property
    def message_id(self) -> str | None:
        """The sender's id of the message, if it gave one."""
        return self.properties.get('message_id')

    def _count(self, header: str) -> int:
        count = self.headers.get(header, 0)
        # Anyone can write a header: what is no sensible count is none.
        return count if type(count) is int and 0 < count < MOST_ATTEMPTS else 0

    def __repr__(self) -> str:
        # Bodies and headers carry personal data and tokens; a log line must not. What a peer chose is
        # quoted: it may hold a line break, and forge a log line.
        name = 'without id' if self.message_id is None else repr(self.message_id)
        source = f' from {self.queue}, routing key {self.routing_key!r}' if self.queue else ''
        return f'<Message {name}{source}, {len(self.body)} bytes>'


class Reason:
    """Why a message failed: the step of the pipeline that did not get through."""

    UNREADABLE = 'unreadable properties'
    REFUSED = 'content type refused'
    UNDECODABLE = 'undecodable body'
    TRANSLATOR = 'translator error'
    TARGET_NOT_FOUND = 'target not found'
    DEPENDENCY = 'dependency error'
    TARGET = 'target error'
    RESULT = 'result not encodable'
    TIMEOUT = 'time limit'
    WORKER_LOST = 'worker lost'
    RETRY_LATER = 'retry later'
    REJECTED = 'rejected'
    ARGUMENTS = 'arguments do not fit'
    NO_METHOD = 'no such method'

    #: What fails in the same way each time it is tried.
    FOR_GOOD = frozenset(
        (UNREADABLE, REFUSED, UNDECODABLE, TARGET_NOT_FOUND, RESULT, REJECTED, ARGUMENTS, NO_METHOD)
    )


class Failure(NamedTuple):
    """Why a message failed, as text: it crosses the pipe from a child and ends in headers.

    Attributes:
        reason: One of the `Reason` values.
        error: The error's class, dotted unless it is a builtin one, and its message.
        lineage: The dotted names of the error's class and of all its bases, nearest first.
        traceback: The formatted traceback, capped.
        delay_s: After how long to try again, in seconds: what the target asked for; once the route has
            decided to retry, what it decided.
        arguments: The error's arguments as a JSON text, where somebody waits for the result; else ''.
    """

    reason: str
    error: str
    lineage: tuple[str, ...] = ()
    traceback: str = ''
    delay_s: float | None = None
    arguments: str = ''

    @classmethod
    def of(cls, reason: str, exception: BaseException) -> Failure:
        """Describe an exception, however ill-behaved: one whose `__str__` raises is described too.

        Args:
            reason: The step that failed, a `Reason` value.
            exception: What was raised there.
        """
        lineage = tuple(f'{c.__module__}.{c.__qualname__}' for c in type(exception).__mro__)
        text = _printable(_safely(str, exception)[:MESSAGE_LIMIT])
        trace = _safely(lambda e: ''.join(tracebacks.format_exception(e)), exception)
        return cls(
            reason,
            f'{lineage[0].removeprefix("builtins.")}: {text}',
            lineage[:-1],
            _middle_cut(_printable(trace)),
        )


def arguments_json(exception: BaseException) -> str:
    """Write an exception's arguments as a JSON list: what JSON cannot carry as text, long texts cut."""
    return json.dumps([_plain(argument) for argument in exception.args[:ARGUMENTS_MOST]])


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (int, float, list, tuple, dict)):
        try:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
            if len(text.encode()) <= ARGUMENT_LIMIT:
                return json.loads(text)
        except (TypeError, ValueError, RecursionError):
            pass  # as text, then
    return _printable(_safely(str, value)[:MESSAGE_LIMIT])


def _safely(describe: Any, value: Any) -> str:
    try:
        return str(describe(value))
    except BaseException as fault:
        # Any: what leaves here would take the worker along, and leave the message without an outcome.
        return f'<not printable: {type(fault).__name__} while describing it>'


def _printable(text: str) -> str:
    """Write lone surrogates as escapes: other clients of the broker refuse headers that are no UTF-8."""
    return text.encode('utf-8', 'backslashreplace').decode()


def _middle_cut(text: str) -> str:
    if len(text) <= TRACEBACK_LIMIT:
        return text
    half = TRACEBACK_LIMIT // 2
    return f'{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}'


class Outcome(NamedTuple):
    """What became of a message in its worker.

    Attributes:
        ran: Whether the attempt counts; False when it was given up before or during the run.
        failure: Why it failed; None on success.
        result: What the target returned; None unless the entrypoint replies.
    """

    ran: bool
    failure: Failure | None = None
    result: Any = None

    @classmethod
    def failed(cls, failure: Failure) -> Outcome:
        """An attempt that failed."""
        return cls(True, failure)


#: What an entrypoint that does not reply gets on success.
SUCCEEDED = Outcome(True)
#: The message was not run to an end, through no fault of its own.
NOT_RUN = Outcome(False)


class Settlement(enum.Enum):
    """What the broker is told of a message, once its outcome is known."""

    ACK = 'ack'
    RETRY = 'retry'
    DEAD_LETTER = 'dead letter'
    GIVE_BACK = 'give back'


class Publication(NamedTuple):
    """One message on its way out.

    Attributes:
        exchange: Where to; '' is the default exchange, which routes to the queue of that name.
        routing_key: With which routing key.
        body: The encoded body.
        properties: AMQP basic properties by name, headers aside. What is new has a `message_id`.
        headers: The application headers.
        mandatory: Whether it is an error if no queue takes it.
        delay_s: How long the broker holds it, in seconds, before it goes to its exchange; rounded up to a
            step. None: it goes there at once.
        timeout_s: How long it may take until it is confirmed; None: the settings' `confirm_timeout_s`.
    """

    exchange: str
    routing_key: str
    body: bytes
    properties: Mapping[str, Any] = EMPTY
    headers: Mapping[str, Any] = EMPTY
    mandatory: bool = False
    delay_s: float | None = None
    timeout_s: float | None = None

    def __repr__(self) -> str:
        return f'<Publication to {self.exchange!r} with {self.routing_key!r}, {len(self.body)} bytes>'


class Call(NamedTuple):
    """A publication that is answered.

    Attributes:
        publication: The request, without `reply_to` and `correlation_id`, which whoever sends it fills in.
        timeout_s: How long to wait for the reply, in seconds.
    """

    publication: Publication
    timeout_s: float


class Reply(NamedTuple):
    """What came back for a Call.

    Attributes:
        body: The raw body.
        properties: AMQP basic properties by name.
        headers: The application headers.
    """

    body: bytes
    properties: Mapping[str, Any] = EMPTY
    headers: Mapping[str, Any] = EMPTY
