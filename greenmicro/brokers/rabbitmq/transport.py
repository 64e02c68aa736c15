"""The socket of one connection, read in large pieces and cut into whole frames."""

from __future__ import annotations

import ssl
import time
from typing import Any

import gevent
from amqp import transport as amqp_transport
from amqp.exceptions import UnexpectedFrame
from gevent import monkey

from greenmicro.brokers.rabbitmq.frames import FRAME_END, FRAME_HEAD, KINDS, Frame

#: One read takes what is there up to this size. Stock amqp makes 9 reads per delivery of 7, n and 1 bytes.
READ_SIZE = 128 * 1024
#: What is missing of a frame beyond this is read piece by piece, without joining the pieces each time.
PIECES_FROM = 16 * 1024
#: What claims to be a larger frame is no AMQP (`HTTP/1.1 400` would be one of 1.3 GB); brokers use 128 kB.
FRAME_LIMIT = 16 * 1024 * 1024
#: What a TLS port answers to AMQP begins with.
TLS_ALERT = 21
#: A reader that always finds data lets the others run this often.
TURN_S = 0.002


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
                        raise UnexpectedFrame(f'a frame ends in {self._buffer[end]:#04x} instead of 0xce')
                    self._position = end + 1
                    return kind, channel, self._buffer[start:end]
                if kind == TLS_ALERT:
                    raise UnexpectedFrame('the peer speaks TLS: the URI should begin with amqps')
                if kind not in KINDS or size > FRAME_LIMIT:
                    raise UnexpectedFrame(f'the peer speaks no AMQP: a frame of type {kind}, {size} bytes')
                self._fill(end + 1 - len(self._buffer))
            else:
                self._fill(start - len(self._buffer))

    def _fill(self, missing: int) -> None:
        if time.monotonic() > self._turn_ends:
            gevent.sleep(0)
            self._turn_ends = time.monotonic() + TURN_S
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
