"""The frames of one connection: content goes straight to its channel's owner, the rest to amqp."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from amqp import spec
from amqp.exceptions import ChannelError, RecoverableConnectionError, UnexpectedFrame, error_for_code
from amqp.serialization import decode_properties_basic, loads
from gevent.event import AsyncResult, Event

from greenmicro.brokers.rabbitmq.transport import (
    BODY,
    FRAME_END,
    FRAME_HEAD,
    FRAME_OVERHEAD,
    HEADER,
    HEARTBEAT,
    METHOD,
    Frame,
    Outbox,
)
from greenmicro.errors import PayloadError
from greenmicro.messages import EMPTY

METHOD_ID = struct.Struct('>HH')
CONTENT_HEAD = struct.Struct('>HHQ')
#: Further bits of the flags' octet may be set (a nack has two), so each is masked.
TAG_AND_FLAG = struct.Struct('>QB')
#: Names of exchanges and routing keys that were seen, decoded once; dropped when it has this many.
NAMES_LIMIT = 2_000


class ChannelOwner(Protocol):
    """What the owner of a channel is told; on the reader's greenlet, which must not be blocked."""

    def delivered(self, tag: int, redelivered: bool, names: tuple[str, str], content: Content) -> None:
        """Take a message: its delivery tag, and the names of its exchange and routing key."""

    def returned(self, code: int, text: str, content: Content) -> None:
        """Take back a mandatory message that no queue takes; its ack follows."""

    def confirmed(self, tag: int, multiple: bool, accepted: bool) -> None:
        """Hear that the broker has (or has not) taken what was published with a tag."""

    def cancelled(self) -> None:
        """Hear that the broker has ended the consumer: its queue is gone, or moved."""

    def closed(self, error: ChannelError) -> None:
        """Hear that the broker has closed the channel."""


class Content:
    """The properties and the body of a message, as they come in frame after frame."""

    __slots__ = ('body', 'chunks', 'head', 'headers', 'method', 'missing', 'properties', 'unreadable')

    def __init__(self, method: tuple[int, int], head: bytes) -> None:
        self.method = method
        self.head = head
        self.properties: Mapping[str, Any] = EMPTY
        self.headers: Mapping[str, Any] = EMPTY
        self.unreadable: bytes | None = None
        self.missing = -1
        self.chunks: list[bytes] | None = None
        self.body = b''

    def read_header(self, payload: bytes) -> bool:
        """Take the header frame; return whether the message is complete, having no body."""
        _, _, self.missing = CONTENT_HEAD.unpack_from(payload)
        try:
            properties, _ = decode_properties_basic(payload, CONTENT_HEAD.size)
        except Exception:
            # A peer's bytes make the decoder raise nearly anything (ValueError, struct.error,
            # RecursionError, ...). The message must still reach its queue's owner, to be dead-lettered:
            # raised from here it would end the connection, and come again, for ever.
            self.unreadable = payload[CONTENT_HEAD.size :]
        else:
            self.headers = properties.pop('application_headers', None) or EMPTY
            self.properties = properties
        return not self.missing

    def read_body(self, payload: bytes) -> bool:
        """Take a body frame; return whether the message is complete."""
        self.missing -= len(payload)
        if self.chunks is None:
            if not self.missing:
                self.body = payload
                return True
            self.chunks = []
        self.chunks.append(payload)
        if self.missing > 0:
            return False
        self.body = b''.join(self.chunks)
        return True


class Wire:
    """The frame handler and the frame writer of one amqp connection, and what waits on it.

    Attributes:
        owners: Channel number to who is told of what comes in on it.
        reading: Whether a reader reads; until then, in the handshake, amqp does.
        lost: Resolved with the error when the connection is lost.
    """

    def __init__(self) -> None:
        self._names: dict[bytes, tuple[str, str]] = {}
        self._contents: dict[int, Content] = {}
        self._progress = Event()
        self.owners: dict[int, ChannelOwner] = {}
        self._outbox: Outbox | None = None
        self.reading = False
        self.lost: AsyncResult[Exception] = AsyncResult()

    @property
    def outbox(self) -> Outbox:
        """The writer; there once amqp has connected its socket."""
        assert self._outbox is not None
        return self._outbox

    def frame_writer(self, connection: Any, transport: Any) -> Callable[..., None]:
        """Be the `frame_writer` of a connection."""
        outbox = self._outbox = Outbox(transport.sock, self.lose)
        write = outbox.write

        def write_frames(
            kind: int, channel: int, method: tuple[int, int] | None, args: Any, content: Any
        ) -> None:
            payload = METHOD_ID.pack(*method) + (args or b'') if method else b''
            frame = pack_frame(kind, channel, payload)
            write(frame + pack_content(channel, content, connection.frame_max) if content else frame)
            connection.bytes_sent += 1

        return write_frames

    def frame_handler(self, connection: Any, callback: Callable[..., None]) -> Callable[[Frame], bool]:
        """Be the `frame_handler` of a connection; what it returns says whether a method was handled."""
        contents, owners = self._contents, self.owners

        def on_frame(frame: Frame) -> bool:
            kind, channel, payload = frame
            if kind == BODY:
                if not contents[channel].read_body(payload):
                    return False
            elif kind == HEADER:
                if not contents[channel].read_header(payload):
                    return False
            elif kind == METHOD:
                method = METHOD_ID.unpack_from(payload)
                if method == spec.Basic.Deliver or method == spec.Basic.Return:
                    contents[channel] = Content(method, payload)
                    return False
                if not self._handled(connection, channel, method, payload):
                    callback(channel, method, payload, None)
                self._note_progress()
                return True
            elif kind == HEARTBEAT:
                return False
            else:
                raise UnexpectedFrame(f'frame of type {kind}')
            content = contents.pop(channel)
            owner = owners.get(channel)
            if owner is not None:
                self._hand_over(owner, content)
            return True

        return on_frame

    def _hand_over(self, owner: ChannelOwner, content: Content) -> None:
        head = content.head
        if content.method == spec.Basic.Deliver:
            at = 5 + head[4]  # the consumer tag is not needed: a channel has one consumer
            tag, redelivered = TAG_AND_FLAG.unpack_from(head, at)
            names = self._decode_names(head[at + TAG_AND_FLAG.size :])
            owner.delivered(tag, bool(redelivered & 1), names, content)
        else:
            (code, text), _ = loads('Bs', head, 4)
            owner.returned(code, text, content)

    def _decode_names(self, raw: bytes) -> tuple[str, str]:
        names = self._names.get(raw)
        if names is None:
            if len(self._names) >= NAMES_LIMIT:
                self._names.clear()
            split = 1 + raw[0]
            # A routing key is whatever bytes its publisher chose.
            exchange, routing_key = raw[1:split], raw[split + 1 : split + 1 + raw[split]]
            names = exchange.decode('utf-8', 'replace'), routing_key.decode('utf-8', 'replace')
            self._names[raw] = names
        return names

    def _handled(self, connection: Any, channel: int, method: tuple[int, int], payload: bytes) -> bool:
        """Tell the channel's owner of what amqp would act on by itself."""
        if method == spec.Channel.Close:
            self._close_channel(connection, channel, payload)
            return True
        owner = self.owners.get(channel)
        if owner is None:
            return False
        if method == spec.Basic.Ack or method == spec.Basic.Nack:
            tag, multiple = TAG_AND_FLAG.unpack_from(payload, METHOD_ID.size)
            owner.confirmed(tag, bool(multiple & 1), method == spec.Basic.Ack)
        elif method == spec.Basic.Cancel:
            owner.cancelled()
        else:
            return False
        return True

    def _close_channel(self, connection: Any, channel: int, payload: bytes) -> None:
        # amqp would open the channel again by itself, without its consumers.
        (code, text, *where), _ = loads('BsBB', payload, METHOD_ID.size)
        connection.frame_writer(METHOD, channel, spec.Channel.CloseOk, b'', None)
        self._contents.pop(channel, None)
        owner = self.owners.pop(channel, None)
        known = connection.channels.get(channel)
        if known is not None:
            known.collect()
        if owner is not None:
            owner.closed(error_for_code(code, text, tuple(where), ChannelError))

    def _note_progress(self) -> None:
        progress, self._progress = self._progress, Event()
        progress.set()

    def wait_progress(self, timeout_s: float | None) -> None:
        """Wait until the reader has handled one more method; for greenlets that are not the reader.

        Raises:
            TimeoutError: None came in time.
            RecoverableConnectionError: The connection is lost.
        """
        if not self.lost.ready() and not self._progress.wait(timeout_s):
            raise TimeoutError(f'no answer from the broker within {timeout_s} s')
        if self.lost.ready():
            raise RecoverableConnectionError(f'connection lost: {self.lost.get()}')

    def lose(self, error: Exception) -> None:
        """Take the connection for lost, and let those who wait for an answer know."""
        if not self.lost.ready():
            self.lost.set(error)
            self._note_progress()

    def close(self, error: Exception) -> None:
        """Write and hand over nothing any more."""
        self.lose(error)
        self.owners.clear()
        if self._outbox is not None:
            self._outbox.close(error)


def pack_frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Return one frame."""
    return b'%b%b%c' % (FRAME_HEAD.pack(kind, channel, len(payload)), payload, FRAME_END)


def pack_content(channel: int, content: Any, frame_max: int) -> bytes:
    """Return the header frame and the body frames of an amqp message.

    Args:
        channel: The channel's number.
        content: An `amqp.Message` with a body of bytes.
        frame_max: The largest frame that the broker takes, in bytes.

    Raises:
        PayloadError: The properties and headers do not fit into one frame; the broker would end the
            connection for it (501).
    """
    properties = content._serialize_properties()
    body = content.body
    room = frame_max - FRAME_OVERHEAD
    if len(properties) + CONTENT_HEAD.size > room:
        raise PayloadError(
            f'headers: wanted at most {room - CONTENT_HEAD.size} bytes in all, found {len(properties)}'
        )
    head = CONTENT_HEAD.pack(spec.Basic.CLASS_ID, 0, len(body)) + properties
    frames = [pack_frame(HEADER, channel, head)]
    frames += [pack_frame(BODY, channel, body[at : at + room]) for at in range(0, len(body), room)]
    return b''.join(frames)
