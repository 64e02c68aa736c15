"""Dead letters as services write them, put into queues for the command line's tests."""

from __future__ import annotations

import struct
from typing import Any

import pika

from greenmicro.amqp.topology import queue_of_type
from greenmicro.dead_letters import dead_letter
from greenmicro.messages import Failure, Message, Reason
from tests.support.amqp_client import Client

WORK, DEAD = 'orders', 'orders.dead'
KINDS = ('classic', 'quorum')


def letter_of(number: int, error: str = 'ValueError: no', reason: str = Reason.TARGET, **message: Any) -> Any:
    """The dead letter of a message, as a service publishes it."""
    properties = {'message_id': str(number), 'content_type': 'application/json'}
    message = {'exchange': 'shop.events', 'routing_key': 'placed', 'queue': WORK, **message}
    headers = {'tenant': 7, 'greenmicro.attempt': 4, 'greenmicro.crashes': 1, **message.pop('headers', {})}
    properties.update(message.pop('properties', {}))
    made = Message(b'{"id": %d}' % number, properties, headers, **message)
    return dead_letter(made, Failure(reason, error, (), 'Traceback ...\n  here'))


def fill(client: Client, letters: Any, queue: str = DEAD) -> None:
    """Put letters into a queue that is there, and wait until they are ready."""
    before, _ = client.queue_counts(queue)
    count = 0
    for letter in letters:
        count += 1
        client.publish('', queue, letter.body, headers=dict(letter.headers), **letter.properties)
    client.wait_for_counts(queue, ready=before + count)


def declare(client: Client, kind: str, **arguments: Any) -> None:
    """Declare work and dead queue of one type, as services do."""
    for queue in (WORK, DEAD):
        client.declare_queue(queue, arguments={**queue_of_type(queue, kind).arguments, **arguments})


def ids(client: Client, queue: str) -> list[str]:
    """The ids in a queue, in their order; they stay there."""
    ready, _ = client.queue_counts(queue)
    taken = client.take(queue, ready, ack=False) if ready else []
    for one in reversed(taken):
        client.nack(one)
    client.wait_for_counts(queue, ready=ready)
    return [str(one.properties.message_id) for one in taken]


def publish_raw(client: Client, queue: str, headers: bytes, body: bytes) -> None:
    """Publish with a header table that no client library would write."""
    properties = struct.pack('>HI', 0x2000, len(headers)) + headers

    class Raw(pika.BasicProperties):
        def encode(self) -> list[bytes]:
            return [properties]

    client.channel.basic_publish('', queue, body, Raw(), mandatory=True)
