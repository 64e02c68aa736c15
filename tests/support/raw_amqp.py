"""A publisher that packs its own frames: any bytes as properties, and a million messages in a minute."""

import itertools
import socket
import struct
from collections.abc import Iterable
from types import TracebackType
from urllib.parse import unquote, urlsplit

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME = struct.Struct('>BHI')
BASIC = 60
#: Class and method, as AMQP 0-9-1 numbers them.
CONNECTION_START_OK, CONNECTION_TUNE, CONNECTION_TUNE_OK = (10, 11), (10, 30), (10, 31)
CONNECTION_OPEN, CONNECTION_OPEN_OK = (10, 40), (10, 41)
CONNECTION_CLOSE, CONNECTION_CLOSE_OK = (10, 50), (10, 51)
CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_CLOSE, CHANNEL_CLOSE_OK = (20, 10), (20, 11), (20, 40), (20, 41)
CONFIRM_SELECT, CONFIRM_SELECT_OK = (85, 10), (85, 11)
PUBLISH, RETURN, ACK, NACK = (60, 40), (60, 50), (60, 80), (60, 120)
TIMEOUT_S = 20.0
#: A stream goes out in pieces of so many messages, of which so many may be unconfirmed: the broker confirms
#: what it has saved, which takes it 100 ms and more.
PIECE, UNCONFIRMED = 1000, 20_000
MANDATORY = b'\x01'


class RefusedError(Exception):
    """The broker did not take a message, and may have closed the channel or the connection over it."""


class RawPublisher:
    """Publishes one message at a time, confirmed, over a socket of its own; connects again as needed.

    Args:
        uri: the address of the broker and vhost.
    """

    def __init__(self, uri: str) -> None:
        self._uri = urlsplit(uri)
        self._socket: socket.socket | None = None
        self._buffer = b''
        self._frame_max = 0
        self._sent = 0
        self._unconfirmed: set[int] = set()

    def publish(self, exchange: str, routing_key: str, properties: bytes, body: bytes) -> bool:
        """Publish a message and return whether the broker took it.

        Args:
            exchange: the exchange's name.
            routing_key: with which routing key.
            properties: what stands after class, weight and body size: flags and values, or anything else.
            body: its bytes.
        """
        try:
            if self._socket is None:
                self._connect()
            message = self._message(publish_method(exchange, routing_key, b'\0'), properties, body)
            self._send_out([message])
            self._read_confirms(0)
            return True
        except (RefusedError, OSError):
            self.close()
            return False

    def stream(self, exchange: str, routing_key: str, properties: bytes, bodies: Iterable[bytes]) -> None:
        """Publish very many messages, and return when the broker has confirmed them all.

        Args:
            exchange: the exchange's name.
            routing_key: with which routing key.
            properties: of each, as in `publish`.
            bodies: of each its bytes.

        Raises:
            RefusedError: a message was refused, or has no queue.
            OSError: the connection was lost.
        """
        if self._socket is None:
            self._connect()
        start = publish_method(exchange, routing_key, MANDATORY)
        left = iter(bodies)
        while piece := [self._message(start, properties, body) for body in itertools.islice(left, PIECE)]:
            self._send_out(piece)
            self._read_confirms(UNCONFIRMED)
        self._read_confirms(0)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket, self._buffer, self._sent, self._unconfirmed = None, b'', 0, set()

    def __enter__(self) -> 'RawPublisher':
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _connect(self) -> None:
        uri = self._uri
        self._socket = socket.create_connection((uri.hostname, uri.port), timeout=TIMEOUT_S)
        self._send(b'AMQP\0\0\x09\x01')
        self._read()  # connection.start
        login = long(f'\0{uri.username}\0{uri.password}'.encode())
        self._send(method(CONNECTION_START_OK, long(b'') + short(b'PLAIN') + login + short(b'en_US'), 0))
        tune = self._expect(CONNECTION_TUNE)
        self._frame_max = struct.unpack_from('>I', tune, 2)[0]
        vhost = short(unquote(uri.path[1:]).encode())
        self._send(method(CONNECTION_TUNE_OK, tune[:6] + b'\0\0', 0))  # no heartbeats
        self._send(method(CONNECTION_OPEN, vhost + b'\0\0', 0))
        self._expect(CONNECTION_OPEN_OK)
        self._send(method(CHANNEL_OPEN, b'\0'))
        self._expect(CHANNEL_OPEN_OK)
        self._send(method(CONFIRM_SELECT, b'\0'))
        self._expect(CONFIRM_SELECT_OK)

    def _message(self, start: bytes, properties: bytes, body: bytes) -> bytes:
        head = struct.pack('>HHQ', BASIC, 0, len(body)) + properties
        room = self._frame_max - FRAME.size - 1
        pieces = [frame(BODY, body[at : at + room]) for at in range(0, len(body), room)]
        return start + frame(HEADER, head) + b''.join(pieces)

    def _send_out(self, messages: list[bytes]) -> None:
        self._unconfirmed.update(range(self._sent + 1, self._sent + len(messages) + 1))
        self._sent += len(messages)
        self._send(b''.join(messages))

    def _read_confirms(self, most: int) -> None:
        """Read until at most so many are unconfirmed."""
        while len(self._unconfirmed) > most:
            tag, multiple = struct.unpack('>QB', self._expect(ACK))
            self._unconfirmed.discard(tag)
            if multiple:
                self._unconfirmed = {other for other in self._unconfirmed if other > tag}

    def _expect(self, wanted: tuple[int, int]) -> bytes:
        """Read on to a method, and return its arguments."""
        while True:
            kind, payload = self._read()
            if kind != METHOD:
                continue
            found = struct.unpack_from('>HH', payload)
            if found == wanted:
                return payload[4:]
            if found == CONNECTION_CLOSE:
                self._send(method(CONNECTION_CLOSE_OK, b'', 0))
            if found in (CONNECTION_CLOSE, CHANNEL_CLOSE, RETURN, NACK):
                raise RefusedError(payload)

    def _send(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(data)

    def _read(self) -> tuple[int, bytes]:
        kind, _, size = FRAME.unpack(self._read_bytes(FRAME.size))
        return kind, self._read_bytes(size + 1)[:-1]

    def _read_bytes(self, size: int) -> bytes:
        assert self._socket is not None
        while len(self._buffer) < size:
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionResetError('the broker closed the connection')
            self._buffer += data
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


def frame(kind: int, payload: bytes, channel: int = 1) -> bytes:
    """One frame."""
    return FRAME.pack(kind, channel, len(payload)) + payload + b'\xce'


def method(name: tuple[int, int], arguments: bytes, channel: int = 1) -> bytes:
    """The frame of a method."""
    return frame(METHOD, struct.pack('>HH', *name) + arguments, channel)


def publish_method(exchange: str, routing_key: str, flags: bytes) -> bytes:
    """The frame that begins a message."""
    names = short(exchange.encode()) + short(routing_key.encode())
    return method(PUBLISH, struct.pack('>H', 0) + names + flags)


def short(data: bytes) -> bytes:
    """A short string: what is over its 255 bytes is cut off."""
    return bytes([min(255, len(data))]) + data[:255]


def long(data: bytes) -> bytes:
    """A long string, which is also how a table of packed entries is written."""
    return struct.pack('>I', len(data)) + data
