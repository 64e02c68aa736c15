"""Content: properties and body of a message, as they come in frame after frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amqp.serialization import decode_properties_basic

from greenmicro.brokers.rabbitmq.frames import CONTENT_HEAD
from greenmicro.messages import EMPTY


class Content:
    """The properties and the body of a message that is coming in.

    Args:
        delivered: Whether it belongs to a delivery, and not to a return.
        head: That method's payload.

    Attributes:
        properties: AMQP basic properties, headers aside.
        headers: The application headers; their names are texts, whatever the sender wrote.
        unreadable: The raw property bytes when they cannot be read; else None.
        body: The body, once it is complete.
    """

    __slots__ = ('_chunks', '_missing', 'body', 'delivered', 'head', 'headers', 'properties', 'unreadable')

    def __init__(self, delivered: bool, head: bytes) -> None:
        self.delivered = delivered
        self.head = head
        self.properties: Mapping[str, Any] = EMPTY
        self.headers: Mapping[str, Any] = EMPTY
        self.unreadable: bytes | None = None
        self.body = b''
        self._chunks: list[bytes] | None = None

    def read_header(self, payload: bytes) -> bool:
        """Take the header frame; return whether the message is complete, having no body."""
        self._missing: int = CONTENT_HEAD.unpack_from(payload)[2]
        try:
            properties, _ = decode_properties_basic(payload, CONTENT_HEAD.size)
        except Exception:
            # A peer's bytes make the decoder raise nearly anything (ValueError, struct.error,
            # RecursionError, ...). The message must still reach its queue's owner, to be dead-lettered:
            # raised from here it would end the connection, and come again, for ever.
            self.unreadable = payload[CONTENT_HEAD.size :]
        else:
            headers = properties.pop('application_headers', None)
            if headers:
                self.headers = _with_text_names(headers)
            self.properties = properties
        return not self._missing

    def read_body(self, payload: bytes) -> bool:
        """Take a body frame; return whether the message is complete."""
        self._missing -= len(payload)
        if self._chunks is None:
            if not self._missing:
                self.body = payload
                return True
            self._chunks = []
        self._chunks.append(payload)
        if self._missing > 0:
            return False
        self.body = b''.join(self._chunks)
        return True


def _with_text_names(headers: dict[Any, Any]) -> dict[str, Any]:
    # amqp leaves names that are no UTF-8 as bytes, which nobody further on expects.
    for name in headers:
        if isinstance(name, bytes):
            return {
                name.decode('utf-8', 'backslashreplace') if isinstance(name, bytes) else name: value
                for name, value in headers.items()
            }
    return headers
