"""The socket of one connection: a buffered reader of whole frames, and one writer for everything."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any

import gevent
from amqp import transport as amqp_transport
from amqp.exceptions import RecoverableConnectionError, UnexpectedFrame
from gevent.event import Event

#: One read takes what is there up to this size. Stock amqp makes 9 reads per delivery of 7, n and 1 bytes.
READ_SIZE = 128 * 1024
#: AMQP 0-9-1, section 2.3.5: type, channel and size stand before a frame's payload, 0xCE after it.
FRAME_HEAD = struct.Struct('>BHI')
FRAME_END = 0xCE
FRAME_OVERHEAD = FRAME_HEAD.size + 1
METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
HEARTBEAT_FRAME = FRAME_HEAD.pack(HEARTBEAT, 0, 0) + bytes([FRAME_END])
#: A reader that always finds data lets the others run this often.
TURN_S = 0.002

Frame = tuple[int, int, bytes]


class BufferedFrames:
    """Reads whole frames out of large reads; put before one of amqp's transport classes.

    Nothing is consumed before a frame is complete, so that a read that is timed out or killed loses
    nothing. (amqp's own reader loses half a frame to anything but `socket.timeout`.)
    """

    sock: Any
    _buffer: bytes = b''
    _position = 0
    _turn_ends = 0.0
    last_received = 0.0

    def read_frame(self, unpack: Any = None) -> Frame:
        """Return the next frame: type, channel, payload.

        Raises:
            OSError: The connection is lost.
            UnexpectedFrame: The peer does not speak AMQP.
        """
        while True:
            start = self._position + FRAME_HEAD.size
            if len(self._buffer) >= start:
                kind, channel, size = FRAME_HEAD.unpack_from(self._buffer, self._position)
                end = start + size
                if len(self._buffer) > end:
                    if self._buffer[end] != FRAME_END:
                        raise UnexpectedFrame(f'frame end {self._buffer[end]:#04x} while expecting 0xce')
                    self._position = end + 1
                    return kind, channel, self._buffer[start:end]
                self._fill(end + 1 - len(self._buffer))
            else:
                self._fill(start - len(self._buffer))

    def _fill(self, missing: int) -> None:
        now = time.monotonic()
        if now > self._turn_ends:
            gevent.sleep(0)
            self._turn_ends = time.monotonic() + TURN_S
        if missing > READ_SIZE:
            data = self._receive_large(missing)
        else:
            data = self.sock.recv(READ_SIZE)
            if not data:
                raise ConnectionResetError('the broker closed the connection')
            data = self._buffer[self._position :] + data
        self._buffer = data
        self._position = 0
        self.last_received = time.monotonic()

    def _receive_large(self, missing: int) -> bytes:
        # Appending each read to an immutable buffer would copy a 100 MB body a thousand times.
        whole = bytearray(self._buffer[self._position :])
        wanted = len(whole) + missing
        try:
            while len(whole) < wanted:
                data = self.sock.recv(READ_SIZE)
                if not data:
                    raise ConnectionResetError('the broker closed the connection')
                whole += data
                self.last_received = time.monotonic()
        except BaseException:
            self._buffer, self._position = bytes(whole), 0
            raise
        return bytes(whole)


class TCPTransport(BufferedFrames, amqp_transport.TCPTransport):  # type: ignore[misc]
    """A plain connection."""


class TLSTransport(BufferedFrames, amqp_transport.SSLTransport):  # type: ignore[misc]
    """An encrypted connection."""


class Outbox:
    """All writes of one connection, in order, by one greenlet that is never killed or timed.

    A greenlet that is killed while it writes leaves half a frame, and the connection corrupt without a
    sign of it [348 publishes "succeeded" after one]. So callers only append; the writer sends.

    Attributes:
        last_sent: When something was last sent, by the monotonic clock.
    """

    def __init__(self, sock: Any, on_lost: Callable[[Exception], None]) -> None:
        self._sock = sock
        self._on_lost = on_lost
        self._chunks: list[bytes] = []
        self._sources: list[Callable[[], bytes]] = []
        self._wanted = Event()
        self._sent = Event()
        self._closed: Exception | None = None
        self.last_sent = time.monotonic()
        self._writer = gevent.spawn(self._run)

    def write(self, data: bytes) -> None:
        """Have bytes sent; they are whole frames, and those of one message in one call.

        Raises:
            RecoverableConnectionError: The connection is lost.
        """
        if self._closed is not None:
            raise RecoverableConnectionError(f'connection lost: {self._closed}')
        self._chunks.append(data)
        self._wanted.set()

    def write_from(self, source: Callable[[], bytes]) -> None:
        """Have a source asked for its bytes once, right before the next write.

        What is collected until then, acks above all, goes out in one piece.
        """
        if self._closed is None:
            self._sources.append(source)
            self._wanted.set()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was written is with the operating system; return whether it is."""
        deadline = time.monotonic() + timeout_s
        while (self._chunks or self._sources or self._wanted.is_set()) and self._closed is None:
            self._sent.clear()
            if not self._sent.wait(deadline - time.monotonic()):
                return False
        return self._closed is None

    def close(self, error: Exception) -> None:
        """Send nothing any more; the writer ends."""
        if self._closed is None:
            self._closed = error
            self._wanted.set()
            self._sent.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            if self._closed is not None:
                return
            try:
                self._sock.sendall(self._collect())
            except OSError as error:
                self._on_lost(error)
                return
            self.last_sent = time.monotonic()
            if not self._chunks and not self._sources:
                self._wanted.clear()
            self._sent.set()

    def _collect(self) -> bytes:
        sources, self._sources = self._sources, []
        for source in sources:
            self._chunks.append(source())
        chunks, self._chunks = self._chunks, []
        return b''.join(chunks)
