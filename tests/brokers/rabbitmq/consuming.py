"""What the tests of the consumer share: waits, lost connections, and messages that no client writes."""

import struct
import time
from collections.abc import Callable

import gevent
import pika

from tests.brokers.rabbitmq.faults import close_connections
from tests.brokers.sides import Inbox
from tests.support.patience import PATIENCE_S
from tests.support.rabbitmq import Node


def wait(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Let the hub run until something holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, 'it did not come to that'
        gevent.sleep(0.01)


def lose_connection(node: Node, inbox: Inbox) -> None:
    """Have the consumers' connection closed, and wait until they consume again."""
    ready = inbox.consumer.ready  # type: ignore[attr-defined]
    assert close_connections(node, 'consume')
    wait(lambda: not ready.is_set())
    wait(ready.is_set)


def raw_headers(table: bytes) -> bytes:
    return struct.pack('>HI', 0x2000, len(table)) + table


def publish_raw(uri: str, queue: str, properties: bytes, body: bytes) -> None:
    """Publish with property bytes that no client library would write."""

    class Raw(pika.BasicProperties):
        def encode(self) -> list[bytes]:
            return [properties]

    connection = pika.BlockingConnection(pika.URLParameters(uri))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish('', queue, body, Raw(), mandatory=True)
    connection.close()
