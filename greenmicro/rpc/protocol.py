"""The names, requests and replies of remote calls, in nameko's form, and what they mean in errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from greenmicro import codecs
from greenmicro.amqp.topology import Exchange, Queue
from greenmicro.errors import (
    ArgumentsError,
    BadCallError,
    PayloadError,
    RemoteError,
    RPCError,
    UnknownMethodError,
)
from greenmicro.messages import EMPTY, Failure, Message, Publication, Reason, Reply

EXCHANGE = Exchange('nameko-rpc')
#: A queue of replies that nobody reads goes after so many milliseconds: a caller that is away comes back to
#: what was answered meanwhile.
REPLY_EXPIRES_MS = 300_000
#: No caller reads further than this into a traceback; in characters.
TRACEBACK_LIMIT = 8_000

MALFORMED = 'nameko.exceptions.MalformedRequest'
SIGNATURE = 'nameko.exceptions.IncorrectSignature'
NO_METHOD = 'nameko.exceptions.MethodNotFound'
#: By `exc_path`, which is never imported: what a caller gets. Everything else is a RemoteError.
KNOWN: Mapping[str, type[RPCError]] = {
    MALFORMED: BadCallError,
    SIGNATURE: BadCallError,
    NO_METHOD: UnknownMethodError,
}
#: What is wrong with a request as such; nothing was run.
_BEFORE_THE_CALL = frozenset((Reason.UNREADABLE, Reason.UNDECODABLE, Reason.REFUSED))


def request_queue_name(service: str) -> str:
    """Return the name of the queue that the replicas of a service share for calls."""
    return f'rpc-{service}'


def reply_queue(caller: str, key: str) -> Queue:
    """Return the queue that one process of a service reads its replies from.

    Args:
        caller: The service that calls.
        key: A uuid, with which the queue is bound; requests carry it as `reply_to`.
    """
    return Queue(f'rpc.reply-{caller}-{key}', arguments={'x-expires': REPLY_EXPIRES_MS})


# The request.


def request(
    service: str,
    method: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    headers: Mapping[str, Any] = EMPTY,
) -> Publication:
    """Build a request; whoever sends it adds where the reply goes to.

    Raises:
        PayloadError: The arguments cannot be encoded; the message names the element.
    """
    try:
        body, content_type, content_encoding = codecs.encode({'args': list(args), 'kwargs': dict(kwargs)})
    except PayloadError as error:
        text = str(error).replace("payload['args']", 'args', 1).replace("payload['kwargs']", 'kwargs', 1)
        raise PayloadError(text) from None
    properties = {'content_type': content_type, 'content_encoding': content_encoding, 'delivery_mode': 2}
    return Publication(EXCHANGE.name, f'{service}.{method}', body, properties, headers, mandatory=True)


def arguments_of(payload: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Take the target's arguments out of a request's payload.

    Raises:
        ArgumentsError: It has none in the form that they should have.
    """
    wanted = 'wanted {"args": [...], "kwargs": {...}}'
    if not isinstance(payload, dict):
        raise ArgumentsError('malformed', f'{wanted}, found a {type(payload).__name__}')
    for name, kind in (('args', list), ('kwargs', dict)):
        if name not in payload:
            raise ArgumentsError('malformed', f'{wanted}, without {name}')
        if not isinstance(payload[name], kind):
            raise ArgumentsError('malformed', f'{wanted}, with {name} a {type(payload[name]).__name__}')
    return tuple(payload['args']), payload['kwargs']


# The reply.


def result_reply(message: Message, encoded: tuple[bytes, str, str]) -> Publication:
    """Build the reply to a request that succeeded.

    Args:
        message: The request; it has a `reply_to`.
        encoded: What `codecs.encode` made of the result.
    """
    return _reply(message, b'{"result": ' + encoded[0] + b', "error": null}')


def error_reply(message: Message, failure: Failure) -> Publication:
    """Build the reply to a request that failed.

    Args:
        message: The request; it has a `reply_to`.
        failure: Why it failed.
    """
    return _reply(message, json.dumps({'result': None, 'error': _error_of(failure)}).encode())


def _reply(message: Message, body: bytes) -> Publication:
    asked = message.properties
    properties = {'content_type': 'application/json', 'content_encoding': 'utf-8', 'delivery_mode': 2}
    if asked.get('correlation_id') is not None:
        properties['correlation_id'] = asked['correlation_id']
    return Publication(EXCHANGE.name, asked['reply_to'], body, properties)


def _error_of(failure: Failure) -> dict[str, Any]:
    """Write a failure as nameko writes an exception, with a traceback beside it."""
    path = failure.lineage[0] if failure.lineage else ''
    name = path.removeprefix('builtins.')
    args: list[Any] = json.loads(failure.arguments) if failure.arguments else []
    text = failure.error.removeprefix(f'{name}: ')
    if failure.reason == Reason.ARGUMENTS and len(args) == 2:
        path, args = (MALFORMED if args[0] == 'malformed' else SIGNATURE), args[1:]
    elif failure.reason == Reason.NO_METHOD:
        path, args = NO_METHOD, [failure.error]
    elif failure.reason in _BEFORE_THE_CALL:
        path, args = MALFORMED, [text]
    return {
        'exc_type': path.rpartition('.')[2] or failure.reason,
        'exc_path': path,
        'exc_args': args or [text],
        'value': text,
        'traceback': failure.traceback,
    }


def result_of(reply: Reply, most: int) -> Any:
    """Take the result out of a reply, or raise what it tells.

    Args:
        reply: As it came.
        most: The largest body that is read, in bytes.

    Raises:
        RPCError: The call failed there, or the reply cannot be read.
    """
    try:
        payload = codecs.decode(Message(*reply), most)
    except PayloadError as error:
        raise RPCError(f'the reply cannot be read: {error}') from error
    if not isinstance(payload, dict) or 'error' not in payload:
        raise RPCError(f'wanted a reply with result and error, found {type(payload).__name__}')
    told = payload['error']
    if told is None:
        return payload.get('result')
    raise _raised_by(told if isinstance(told, dict) else {'value': told})


def _raised_by(error: Mapping[str, Any]) -> RPCError:
    path, value = _text(error.get('exc_path')), _text(error.get('value'))
    args = error.get('exc_args')
    if path in KNOWN:
        return KNOWN[path](value or ' '.join(map(_text, args if isinstance(args, list) else ())))
    return RemoteError(
        _text(error.get('exc_type')) or 'error',
        value,
        path,
        tuple(args) if isinstance(args, list) else (),
        _text(error.get('traceback'))[:TRACEBACK_LIMIT],
    )


def _text(value: Any) -> str:
    return '' if value is None else value if isinstance(value, str) else str(value)
