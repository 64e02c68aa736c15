"""Wire: the frames of one connection. Content goes straight to its channel's owner, the rest to amqp."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable
from typing import Any

from amqp import spec
from amqp.exceptions import ChannelError, RecoverableConnectionError, UnexpectedFrame, error_for_code
from amqp.serialization import loads
from gevent.event import AsyncResult, Event

from greenmicro.brokers.rabbitmq.contents import Content
from greenmicro.brokers.rabbitmq.frames import BODY, HEADER, HEARTBEAT, METHOD, METHOD_ID, Frame, pack_frame
from greenmicro.brokers.rabbitmq.outbox import Outbox
from greenmicro.brokers.rabbitmq.owners import ChannelOwner

#: Further bits of the flags' octet may be set (a nack has two), so each is masked.
TAG_AND_FLAG = struct.Struct('>QB')
DELIVER, RETURN = METHOD_ID.pack(*spec.Basic.Deliver), METHOD_ID.pack(*spec.Basic.Return)
#: Names of exchanges and routing keys that were seen, decoded once; dropped when it has this many.
NAMES_LIMIT = 2_000


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
        self._on_method: Callable[[int, bytes], bool]
        self._progress: Event | None = None  # there while somebody waits for it
        self._outbox: Outbox | None = None
        self.owners: dict[int, ChannelOwner] = {}
        self.reading = False
        self.lost: AsyncResult[Exception] = AsyncResult()

    @property
    def outbox(self) -> Outbox:
        """The writer; there once amqp has connected its socket."""
        assert self._outbox is not None
        return self._outbox

    def frame_writer(self, connection: Any, transport: Any) -> Callable[..., None]:
        """Be the `frame_writer` of a connection: for all of amqp's methods, none of which has content."""
        outbox = self._outbox = Outbox(transport, self.lose)

        def write_frame(kind: int, channel: int, method: tuple[int, int] | None, args: Any, _: Any) -> None:
            payload = METHOD_ID.pack(*method) + (args or b'') if method else b''
            outbox.write(pack_frame(kind, channel, payload))

        return write_frame

    def frame_handler(self, connection: Any, callback: Callable[..., None]) -> Callable[[Frame], bool]:
        """Be the `frame_handler` of a connection; what it returns says whether a method was handled."""
        self._on_method = functools.partial(self._take_method, connection, callback)
        return lambda frame: self.take((frame,))

    def take(self, frames: Iterable[Frame]) -> bool:
        """Take frames as they came; return whether the last one was a method, or the end of a content."""
        contents = self._contents
        complete = False
        for kind, channel, payload in frames:
            if kind == METHOD:
                method = payload[: METHOD_ID.size]
                if method in (DELIVER, RETURN):
                    contents[channel] = Content(method == DELIVER, payload)
                    complete = False
                else:
                    complete = self._on_method(channel, payload)
                continue
            if kind == HEADER:
                complete = contents[channel].read_header(payload)
            elif kind == BODY:
                complete = contents[channel].read_body(payload)
            elif kind == HEARTBEAT:
                complete = False
            else:
                raise UnexpectedFrame(f'frame of type {kind}')
            if complete:
                self._hand_over(channel, contents.pop(channel))
        return complete

    def _take_method(
        self, connection: Any, callback: Callable[..., None], channel: int, payload: bytes
    ) -> bool:
        method = METHOD_ID.unpack_from(payload)
        if method == spec.Channel.Close:
            self._close_channel(connection, channel, payload)
        elif not self._told_owner(channel, method, payload):
            callback(channel, method, payload, None)
        self._note_progress()
        return True

    def _hand_over(self, channel: int, content: Content) -> None:
        owner = self.owners.get(channel)
        if owner is None:
            return
        head = content.head
        if content.delivered:
            at = 5 + head[4]  # the consumer tag is not needed: a channel has one consumer
            tag, redelivered = TAG_AND_FLAG.unpack_from(head, at)
            names = self._decode_names(head[at + TAG_AND_FLAG.size :])
            owner.delivered(tag, bool(redelivered & 1), names, content)
        else:
            (code, text), at = loads('Bs', head, METHOD_ID.size)
            owner.returned(f'{code} {text}', self._decode_names(head[at:]), content)

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

    def _told_owner(self, channel: int, method: tuple[int, int], payload: bytes) -> bool:
        """Tell the channel's owner of what it settles without amqp; return whether that is so."""
        owner = self.owners.get(channel)
        if owner is None:
            return False
        if method == spec.Basic.Ack or method == spec.Basic.Nack:
            tag, multiple = TAG_AND_FLAG.unpack_from(payload, METHOD_ID.size)
            owner.confirmed(tag, bool(multiple & 1), method == spec.Basic.Ack)
        elif method == spec.Basic.Cancel:
            del self.owners[channel]  # what still comes on it is given back when it is closed
            owner.cancelled()
        else:
            return False
        return True

    def _close_channel(self, connection: Any, channel: int, payload: bytes) -> None:
        # amqp would open the channel again by itself, without its consumers.
        (code, text, *where), _ = loads('BsBB', payload, METHOD_ID.size)
        self._contents.pop(channel, None)
        owner = self.owners.pop(channel, None)
        # Before close-ok: on a channel that is closed the broker takes any frame for an error of the
        # connection (504), and late acks are just that.
        if owner is not None:
            owner.closed(error_for_code(code, text, tuple(where), ChannelError))
        self.outbox.write(pack_frame(METHOD, channel, METHOD_ID.pack(*spec.Channel.CloseOk)))
        known = connection.channels.get(channel)
        if known is not None:
            known.collect()

    def wait_progress(self, timeout_s: float | None) -> None:
        """Wait until the reader has handled one more method; for greenlets that are not the reader.

        Raises:
            TimeoutError: None came in time.
            RecoverableConnectionError: The connection is lost.
        """
        if not self.lost.ready():
            if self._progress is None:
                self._progress = Event()
            if not self._progress.wait(timeout_s):
                raise TimeoutError(f'no answer from the broker within {timeout_s} s')
        if self.lost.ready():
            raise RecoverableConnectionError(f'connection lost: {self.lost.get()}')

    def _note_progress(self) -> None:
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.set()

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
