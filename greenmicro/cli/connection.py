"""A plain, blocking connection to the broker for one command; whatever it meets there can be read."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import amqp
import kombu
from amqp.exceptions import AMQPError
from amqp.method_framing import frame_handler

from greenmicro.brokers.rabbitmq.frames import FRAME_OVERHEAD
from greenmicro.brokers.rabbitmq.plain import plain_client
from greenmicro.cli.letters import UNREADABLE
from greenmicro.errors import BrokerError
from greenmicro.messages import Publication
from greenmicro.tls import TLS

CONNECT_TIMEOUT_S = 5.0
#: How long the broker may take, in seconds, for any one answer.
ANSWER_TIMEOUT_S = 30.0
#: So much is kept of property bytes that cannot be read.
UNREADABLE_LIMIT = 16_000
_HEADER_FRAME = 2
_FIXED = 12  # class, weight and body size, before the properties


class DeadQueueError(Exception):
    """The broker does not do what was asked; no letter was lost. Its text has the next step."""


def connect(uri: str, tls: TLS | None = None) -> Any:
    """Connect to the first host that answers; every read and write has a time-out.

    Args:
        uri: As services have it in AMQP_URI.
        tls: As services have it in AMQP_SSL.

    Raises:
        DeadQueueError: None answers, or it refuses us.
    """
    for host in uri.split(';'):
        where = kombu.Connection(host)
        try:
            client = plain_client(host, tls, 'greenmicro dead', CONNECT_TIMEOUT_S, frame_handler=_tolerant)
            connection = client.transport.establish_connection()
        except (AMQPError, OSError, BrokerError) as error:
            failure = DeadQueueError(
                f'no connection to {where.host} as {where.userid or "guest"!r}, virtual host '
                f'{where.virtual_host or "/"!r}: {error or type(error).__name__}; is --amqp-uri right?'
            )
            failure.__cause__ = error
        else:
            connection.sock.settimeout(ANSWER_TIMEOUT_S)
            return connection
    raise failure


def message_of(publication: Publication, frame_max: int) -> Any:
    """Return amqp's form of a publication.

    amqp writes some numbers longer than their senders did, and the broker closes the connection over headers
    that fill more than a frame: the letter would end each walk that comes to it.

    Raises:
        ValueError: Its properties and headers do not fit into a frame; or what amqp raises over them.
    """
    properties = {**publication.properties, 'application_headers': dict(publication.headers)}
    message = amqp.Message(publication.body, **properties)
    size = _FIXED + len(message._serialize_properties())
    if size > frame_max - FRAME_OVERHEAD:
        raise ValueError(f'headers of {size} bytes do not fit into a frame of {frame_max}')
    return message


def _tolerant(connection: Any, callback: Callable[..., None]) -> Callable[[Any], Any]:
    """Build amqp's frame handler, made to read messages whose properties it cannot read.

    They would end the connection, and each one after it. Here they come without properties, and a header
    holds the bytes, as it does in the dead letters that services write of such messages.
    """
    handle = frame_handler(connection, callback)

    def on_frame(frame: tuple[int, int, bytes]) -> Any:
        kind, channel, payload = frame
        if kind != _HEADER_FRAME:
            return handle(frame)
        try:
            return handle(frame)
        except Exception:
            # Any: the decoder raises nearly anything over what strangers send.
            raw = bytes(payload[_FIXED : _FIXED + UNREADABLE_LIMIT])
            stand_in = amqp.Message(application_headers={UNREADABLE: base64.b64encode(raw).decode()})
            return handle((kind, channel, bytes(payload[:_FIXED]) + stand_in._serialize_properties()))

    return on_frame
