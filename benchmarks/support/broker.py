"""Broker: a private RabbitMQ node whose queues are filled before a measurement begins."""

import time
from collections.abc import Callable
from types import TracebackType

from tests.support.amqp_client import Client
from tests.support.erlang import QueueCounts
from tests.support.rabbitmq import Node

SOURCE, EVENT, QUEUE = 'source', 'event', 'work'
EXCHANGE = f'{SOURCE}.events'

PATIENCE_S = 30.0
POLL_S = 0.02


class Broker:
    """A node of our own, and a client on it; used as a context manager.

    Its processor time and memory are nobody's: what is measured is the service.
    """

    def __init__(self) -> None:
        self.node = Node()
        self.client = Client(self.node.uri())

    @property
    def uri(self) -> str:
        """The address for the service under test."""
        return self.node.uri()

    @property
    def version(self) -> str:
        """The version of RabbitMQ."""
        return self.node.eval('rabbit_misc:version().').strip('"')

    def fill(self, messages: int) -> None:
        """Have so many small persistent JSON events ready in a fresh work queue, and nobody publishing."""
        self.client.delete_queue(QUEUE)
        self.client.declare_exchange(EXCHANGE)
        self.client.declare_queue(QUEUE)
        self.client.bind(QUEUE, EXCHANGE, EVENT)
        self.client.publish_many(EXCHANGE, EVENT, ({'number': number} for number in range(messages)))
        self.wait_for(lambda counts: counts.ready == messages, f'{messages} ready messages')

    def counts(self) -> QueueCounts:
        """What the work queue holds now, by some 5 ms of the broker's time."""
        return self.node.queues()[QUEUE]

    def wait_for(self, reached: Callable[[QueueCounts], bool], what: str) -> QueueCounts:
        """Wait until the work queue is as wanted.

        Raises:
            TimeoutError: It did not come to that, with the last counts.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not reached(counts := self.counts()):
            if time.monotonic() > deadline:
                raise TimeoutError(f'wanted {what}, last seen {counts}')
            time.sleep(POLL_S)
        return counts

    def wait_settled(self) -> None:
        """Wait until the work queue is empty and owes no settlement.

        Raises:
            TimeoutError: Messages are left.
            RuntimeError: Messages were dead-lettered, so the measurement is not one of work done.
        """
        self.wait_for(lambda counts: counts.ready == counts.unacked == 0, 'an empty queue')
        others = {name: counts.ready for name, counts in self.node.queues().items() if name != QUEUE}
        if any(others.values()):
            raise RuntimeError(f'messages went elsewhere: {others}')

    def __enter__(self) -> 'Broker':
        self.node.__enter__()
        self.client.open()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.client.close()
        self.node.close()
