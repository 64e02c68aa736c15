"""Bulk: a publisher as fast as its broker, which writes frames that were packed beforehand."""

import socket
import struct
import uuid
from collections.abc import Iterable
from types import TracebackType
from typing import Any, NamedTuple

import amqp

METHOD, HEADER, BODY = 1, 2, 3
FRAME_HEAD = struct.Struct('>BHI')
FRAME_END = b'\xce'
BASIC, PUBLISH = 60, 40
#: So much is sent at a time; the broker takes in 20,000 to 60,000 small messages a second.
PIECE = 256 * 1024
#: amqp's own is 1 s, and a broker that takes a breath for longer would be given up.
PATIENCE_MS = 60_000


class Event(NamedTuple):
    """A message as it is published: persistent JSON with an id, as the framework's own producer sends it.

    Attributes:
        exchange: Where to.
        routing_key: With which routing key.
        body: Its bytes.
    """

    exchange: str
    routing_key: str
    body: bytes


class Bulk:
    """Publishes without waiting for confirms; used as a context manager.

    Args:
        port: Of the broker, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._connection: Any = amqp.Connection(
            f'127.0.0.1:{port}', socket_settings={socket.TCP_USER_TIMEOUT: PATIENCE_MS}
        )
        self._channel: Any = None
        self._number = 0
        self._series = uuid.uuid4().hex[:20]

    def send(self, events: Iterable[Event]) -> None:
        """Publish all, and return once the broker has routed them."""
        waiting: list[bytes] = []
        size = 0
        for event in events:
            waiting.append(self.packed(event))
            size += len(waiting[-1])
            if size > PIECE:
                self.write(b''.join(waiting))
                waiting, size = [], 0
        self.write(b''.join(waiting))
        # A channel works in order: once it answers this, it has routed all that came before.
        self._channel.basic_qos(0, 0, False)

    def packed(self, event: Event) -> bytes:
        """Return the frames of one message, with an id of its own."""
        self._number += 1
        names = _short(event.exchange) + _short(event.routing_key)
        method = struct.pack('>HHH', BASIC, PUBLISH, 0) + names + b'\0'
        name = f'{self._series}{self._number:016d}'
        header = struct.pack('>HHQ', BASIC, 0, len(event.body)) + PROPERTIES + _short(name)
        room = self._connection.frame_max - FRAME_HEAD.size - len(FRAME_END)
        pieces = [event.body[at : at + room] for at in range(0, len(event.body), room)]
        return b''.join(
            (
                self._frame(METHOD, method),
                self._frame(HEADER, header),
                *(self._frame(BODY, piece) for piece in pieces),
            )
        )

    def write(self, frames: bytes) -> None:
        """Send what `packed` made; returns when the socket has taken it."""
        self._connection.transport.sock.sendall(frames)

    def _frame(self, kind: int, payload: bytes) -> bytes:
        return FRAME_HEAD.pack(kind, self._channel.channel_id, len(payload)) + payload + FRAME_END

    def __enter__(self) -> 'Bulk':
        self._connection.connect()
        self._channel = self._connection.channel()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()


def _short(text: str) -> bytes:
    raw = text.encode()
    return bytes([len(raw)]) + raw


#: Flags and values up to the message's id: content type, content encoding, delivery mode 2, the id.
PROPERTIES = struct.pack('>H', 0b1101_0000_1000_0000) + _short('application/json') + _short('utf-8') + b'\2'
