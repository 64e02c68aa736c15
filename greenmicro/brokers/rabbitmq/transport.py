"""The socket of one connection, read in large pieces and cut into whole frames."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from typing import Any

import gevent
from amqp import transport as amqp_transport
from amqp.exceptions import UnexpectedFrame
from gevent import monkey

from greenmicro.brokers.rabbitmq.frames import FRAME_END, FRAME_HEAD, KINDS, Frame

#: One read takes what is there up to this size. Stock amqp makes 9 reads per delivery of 7, n and 1 bytes.
READ_SIZE = 128 * 1024
#: So many frames are cut at a time, those of 64 small messages, before the time is looked at: 0.6 ms of work.
FRAMES_AT_ONCE = 192
#: What is missing of a frame beyond this is read piece by piece, without joining the pieces each time.
PIECES_FROM = 16 * 1024
#: What claims to be a larger frame is no AMQP (`HTTP/1.1 400` would be one of 1.3 GB); brokers use 128 kB.
FRAME_LIMIT = 16 * 1024 * 1024
#: What a TLS port answers to AMQP begins with.
TLS_ALERT = 21
#: A reader that always finds data lets the others run this often.
TURN_S = 0.002
#: A wait for that. Not 0: the hub would first run fifty such turns, of reader and workers, before it looks at
#: its timers again [with 200 full queues half of them were more than 4 ms late, by the processor's time].
NEXT_LOOP_S = 1e-9


class BufferedFrames:
    """Reads whole frames out of large reads; put before one of amqp's transport classes.

    Nothing is consumed before a frame is complete, so that a read that is timed out or killed loses
    nothing. (amqp's own reader loses half a frame to anything but `socket.timeout`.)

    Attributes:
        last_received: When something last came in, by the monotonic clock.
    """

    sock: Any
    _buffer: bytes = b''
    _position = 0
    _ahead: Sequence[Frame] = ()  # cut, and not asked for yet; the next one last
    _turn_ends = 0.0
    last_received = 0.0

    def read_frame(self, unpack: Any = None) -> Frame:
        """Return the next frame: type, channel, payload.

        Raises:
            OSError: The connection is lost.
            UnexpectedFrame: The peer does not speak AMQP.
        """
        ahead = self.read_frames()
        self._ahead = ahead[:0:-1]
        return ahead[0]

    def read_frames(self) -> Sequence[Frame]:
        """Return the next frames, one or more, as far as they are there.

        Raises:
            OSError: The connection is lost.
            UnexpectedFrame: The peer does not speak AMQP.
        """
        if self._ahead:
            ahead, self._ahead = self._ahead[::-1], ()
            return ahead
        if time.monotonic() > self._turn_ends:
            gevent.sleep(NEXT_LOOP_S)
            self._turn_ends = time.monotonic() + TURN_S
        while not (frames := self._cut()):
            self._fill(self._missing())
        return frames

    def _cut(self) -> list[Frame]:
        """Cut what is whole; in one loop, as this is done three times for each message."""
        frames: list[Frame] = []
        unpack = FRAME_HEAD.unpack_from
        buffer, position, size_read = self._buffer, self._position, len(self._buffer)
        while (start := position + FRAME_HEAD.size) <= size_read and len(frames) < FRAMES_AT_ONCE:
            kind, channel, size = unpack(buffer, position)
            end = start + size
            # What ends otherwise is told once those before it are handled.
            if end >= size_read or buffer[end] != FRAME_END:
                break
            frames.append((kind, channel, buffer[start:end]))
            position = end + 1
        self._position = position
        return frames

    def _missing(self) -> int:
        """Say how many bytes of the next frame are missing, which is not whole."""
        start = self._position + FRAME_HEAD.size
        if len(self._buffer) < start:
            return start - len(self._buffer)
        kind, _, size = FRAME_HEAD.unpack_from(self._buffer, self._position)
        end: int = start + size
        if len(self._buffer) > end:
            raise UnexpectedFrame(f'a frame ends in {self._buffer[end]:#04x} instead of 0xce')
        if kind == TLS_ALERT:
            raise UnexpectedFrame('the peer speaks TLS: the URI should begin with amqps')
        if kind not in KINDS or size > FRAME_LIMIT:
            raise UnexpectedFrame(f'the peer speaks no AMQP: a frame of type {kind}, {size} bytes')
        return end + 1 - len(self._buffer)

    def _fill(self, missing: int) -> None:
        rest = self._buffer[self._position :]
        if missing > PIECES_FROM:
            self._fill_by_pieces(bytearray(rest), missing)
        else:
            self._buffer, self._position = rest + self._receive(), 0

    def _fill_by_pieces(self, whole: bytearray, missing: int) -> None:
        # Joined each time, a large frame that comes in small pieces would be copied for each of them.
        wanted = len(whole) + missing
        try:
            while len(whole) < wanted:
                whole += self._receive()
        finally:
            self._buffer, self._position = bytes(whole), 0

    def _receive(self) -> bytes:
        data: bytes = self.sock.recv(READ_SIZE)
        if not data:
            raise ConnectionResetError('the broker closed the connection')
        self.last_received = time.monotonic()
        return data


class TCPTransport(BufferedFrames, amqp_transport.TCPTransport):  # type: ignore[misc]
    """A plain connection."""

    def send_now(self, data: bytes) -> int:
        """Send what there is room for, and return how much that was; in any thread, it never waits."""
        try:
            return int(self.sock.send(data, 0, 0.0))
        except BlockingIOError:
            return 0


class TLSTransport(BufferedFrames, amqp_transport.SSLTransport):  # type: ignore[misc]
    """An encrypted connection."""

    _session: OneAtATime

    def send_now(self, data: bytes) -> int:
        """As of a plain one; what was not sent whole must be the beginning of what is sent next."""
        try:
            return self._session.write(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    def _wrap_socket(self, sock: Any, context: ssl.SSLContext, server_hostname: str) -> Any:
        # amqp's way cannot name the host where it is not to verify it.
        return context.wrap_socket(sock, do_handshake_on_connect=False, server_hostname=server_hostname)

    def _setup_transport(self) -> None:
        super()._setup_transport()
        self._session = self.sock._sslobj = OneAtATime(self.sock._sslobj)

    def _shutdown_transport(self) -> None:
        # amqp says goodbye in TLS and waits, without limit, for a peer that may be gone.
        pass


class OneAtATime:
    """A TLS session that lets in one thread at a time, since OpenSSL's bear no two.

    Its calls do not wait for the peer, so neither does the hub here: for as long as eight bytes take.

    Args:
        session: The interpreter's own.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._lock: Any = monkey.get_original('_thread', 'allocate_lock')()

    def read(self, *arguments: Any) -> Any:
        """Read as the session does."""
        with self._lock:
            return self._session.read(*arguments)

    def write(self, data: bytes) -> int:
        """Write as the session does."""
        with self._lock:
            return int(self._session.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)
