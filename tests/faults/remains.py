"""What is left in the broker when a service has ended: dead letters, messages in queues, unacked ones."""

import hashlib
import json
import time
from collections import Counter

from tests.faults.frameworks.base import Framework
from tests.support.amqp_client import Client, Received
from tests.support.rabbitmq import Node

POLL_S = 0.05
OUT_QUEUE = 'out'
#: So many messages a second are read at least, on a shared machine.
SLOWEST = 100


class Remains:
    """Reads a vhost empty, once no service is connected to it.

    Args:
        node: the broker.
        vhost: whose queues.
        framework: knows which of them hold dead letters.

    Attributes:
        dead: D: ids in dead queues, each with its reasons.
        left: R: ids in any other queue, delay queues among them.
        sent_on: ids of what targets published.
    """

    def __init__(self, node: Node, vhost: str, framework: Framework) -> None:
        self.node = node
        self.vhost = vhost
        self.framework = framework
        self.dead: dict[str, list[str]] = {}
        self.left: Counter[str] = Counter()
        self.sent_on: Counter[str] = Counter()

    def unacked(self, timeout_s: float = 3.0) -> int:
        """How many messages are unacked; waits for none, since the end of a socket takes a moment."""
        deadline = time.monotonic() + timeout_s
        while True:
            count = sum(queue.unacked for queue in self.node.queues(self.vhost).values())
            if not count or time.monotonic() > deadline:
                return count
            time.sleep(POLL_S)

    def read(self) -> None:
        """Take everything out of all queues."""
        with Client(self.node.uri(self.vhost)) as client:
            for queue, counts in self.node.queues(self.vhost).items():
                if counts.ready:
                    for message in client.take(queue, counts.ready, timeout_s=60 + counts.ready / SLOWEST):
                        self._put(queue, message)

    def _put(self, queue: str, message: Received) -> None:
        name = message.properties.message_id or body_id(message)
        if queue == OUT_QUEUE:
            self.sent_on[body_id(message)] += 1
        elif self.framework.is_dead(queue):
            self.dead.setdefault(name, []).append(self.framework.reason(message.headers))
        else:
            self.left[name] += 1


def body_id(message: Received) -> str:
    """The id in a message's body, else a digest of the body."""
    try:
        return str(json.loads(message.body)['id'])
    except (ValueError, TypeError, KeyError, RecursionError):
        return hashlib.sha256(message.body).hexdigest()
