"""Filler: puts a peer's messages into its queue, all at once or at a pace, at a few microseconds each."""

import itertools
import json
import socket
import time
from types import TracebackType
from typing import Any

import amqp

from greenmicro.brokers.rabbitmq.publications import pack_publication
from greenmicro.messages import Publication

from .base import ID, PAYLOAD, SENT, Envelope

#: A message that tells no time is counted only; one of this time is held until its service is killed.
UNTOLD, HOLD = 0.0, -1.0
#: So many messages in one write.
BATCH = 200
#: With fewer there are no percentiles.
FEWEST = 20
SENT_TEXT = f'{SENT:.6f}'.encode()


class Filler:
    """A connection that publishes to one queue, used as a context manager: fresh, and gone at the end.

    The frames are packed once. Of one message to the next its id differs, and when it was sent.

    Args:
        port: The broker's.
        envelope: What the messages are, and the queue.
    """

    def __init__(self, port: int, envelope: Envelope) -> None:
        # amqp gives up a connection that takes nothing for a second, as that of a filled broker does.
        settings = {socket.TCP_USER_TIMEOUT: 60_000}
        self.envelope = envelope
        self.connection: Any = amqp.Connection(f'127.0.0.1:{port}', heartbeat=0, socket_settings=settings)
        self.channel: Any = None
        self._frames = b''
        self._numbers = itertools.count(1)

    def __enter__(self) -> 'Filler':
        self.connection.connect()
        self.channel = self.connection.channel()
        self._renew()
        self._frames = pack_publication(
            self.channel.channel_id, publication_of(self.envelope), self.connection.frame_max
        )
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.channel.queue_delete(self.envelope.queue)
        self.connection.close()

    def fill(self, messages: int, sent: float = UNTOLD) -> None:
        """Publish so many, and return when the broker has routed them all."""
        write = self.connection.transport.write
        for begin in range(0, messages, BATCH):
            write(b''.join([self._message(sent) for _ in range(min(BATCH, messages - begin))]))
        self._wait_routed()

    def pace(self, per_s: float, seconds: float) -> int:
        """Publish so many a second, evenly, each with its time, a few at least; return how many it was."""
        write = self.connection.transport.write
        began = time.monotonic()
        total = max(FEWEST, int(per_s * seconds))
        for number in range(total):
            due = began + number / per_s
            while (left_s := due - time.monotonic()) > 0:
                time.sleep(left_s)
            write(self._message(time.monotonic()))
        self._wait_routed()
        return total

    def _renew(self) -> None:
        self.channel.queue_delete(self.envelope.queue)
        self.channel.queue_declare(
            self.envelope.queue, durable=True, auto_delete=False, arguments=dict(self.envelope.arguments)
        )

    def _wait_routed(self) -> None:
        # A channel works in order: once it answers this, it has routed all that came before.
        self.channel.queue_declare(self.envelope.queue, passive=True)

    def _message(self, sent: float) -> bytes:
        number = f'{next(self._numbers):012x}'.encode()
        told = f'{sent:>{len(SENT_TEXT)}.6f}'.encode()
        return self._frames.replace(ID.encode(), ID.encode()[:-12] + number).replace(SENT_TEXT, told)


def publication_of(envelope: Envelope) -> Publication:
    """One message of it, with what stands in for what differs."""
    body = json.dumps(envelope.wrap(PAYLOAD), separators=(',', ':')).encode()
    properties = {'delivery_mode': 2, **envelope.properties}
    return Publication('', envelope.queue, body, properties, envelope.headers, mandatory=True)
