"""A plain, blocking connection to the broker for one command; whatever it meets there can be read."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import amqp
import kombu
from amqp.exceptions import AMQPError
from amqp.method_framing import frame_handler
from amqp.transport import SSLTransport
from kombu.transport import pyamqp

from greenmicro.brokers.rabbitmq.encryption import options_of
from greenmicro.brokers.rabbitmq.frames import FRAME_OVERHEAD
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
        client = _client(host)
        try:
            if host.startswith('amqps:'):
                client.ssl = options_of(tls or TLS(), client.hostname, client.ssl or {})
            connection = client.transport.establish_connection()
        except (AMQPError, OSError, BrokerError) as error:
            failure = DeadQueueError(
                f'no connection to {client.host} as {client.userid or "guest"!r}, virtual host '
                f'{client.virtual_host or "/"!r}: {error or type(error).__name__}; is --amqp-uri right?'
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


class _TLSTransport(SSLTransport):  # type: ignore[misc]
    """Takes a ready context, as services make it."""

    def _wrap_socket(self, sock: Any, context: Any, server_hostname: str) -> Any:
        return context.wrap_socket(sock, do_handshake_on_connect=False, server_hostname=server_hostname)


class _Connection(pyamqp.Connection):  # type: ignore[misc]
    """amqp's, with that transport."""

    def Transport(  # noqa: N802  # amqp's name
        self, host: str, connect_timeout: float, ssl: Any = False, *timeouts: Any, **options: Any
    ) -> Any:
        if not ssl:
            return super().Transport(host, connect_timeout, ssl, *timeouts, **options)
        return _TLSTransport(host, connect_timeout, ssl, **options)


class _KombuTransport(pyamqp.Transport):  # type: ignore[misc]
    """Kombu's transport for amqp, with that connection."""

    Connection = _Connection


def _client(uri: str) -> Any:
    """Return kombu's client, which reads a URI as services do."""
    return kombu.Connection(
        uri,
        transport=_KombuTransport,
        connect_timeout=CONNECT_TIMEOUT_S,
        transport_options={
            'client_properties': {'connection_name': 'greenmicro dead'},
            'frame_handler': _tolerant,
        },
    )


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
