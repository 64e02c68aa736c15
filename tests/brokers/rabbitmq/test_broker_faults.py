"""The broker killed, restarted and frozen under load: nothing is lost, and it goes on within 2 s."""

import time
from collections import Counter
from collections.abc import Iterator

import gevent
import pytest

from greenmicro.errors import PublishError
from greenmicro.messages import Message
from tests.brokers.sides import EVENTS, Inbox, Side, event
from tests.support.amqp_client import Client
from tests.support.rabbitmq import Node

#: How many publishes are in flight at once; when the connection is lost each may arrive twice.
IN_FLIGHT = 5


@pytest.fixture(scope='module')
def node() -> Iterator[Node]:
    """A broker of our own, as it is killed."""
    with Node() as made:
        yield made


class Load:
    """A publisher and a consumer that go on all the time, and a ledger of what they did."""

    def __init__(self, node: Node) -> None:
        self.side = Side(node.uri(), HEARTBEAT_S=2, CONNECT_TIMEOUT_S=2, CONFIRM_TIMEOUT_S=20)
        self.side.broker.declare(EVENTS)
        self.accepted: set[bytes] = set()
        self.unknown: set[bytes] = set()
        self.finished: Counter[bytes] = Counter()
        self.inbox: Inbox = self.side.subscribe('q', prefetch=50, receive=self.receive)
        self.side.start_ready()
        self._stopping = False
        self._publishers = [gevent.spawn(self._publish, number) for number in range(IN_FLIGHT)]

    def receive(self, message: Message) -> None:
        gevent.spawn_later(0.01, self._run, message)

    def _run(self, message: Message) -> None:
        if self.inbox.consumer.begin(message):
            gevent.sleep(0.01)
            self.finished[message.body] += 1
            self.inbox.ack(message)

    def _publish(self, number: int) -> None:
        step = 0
        while not self._stopping:
            step += 1
            body = b'%d-%d' % (number, step)
            try:
                self.side.broker.publish(event(body, message_id=body.decode()))
            except PublishError:
                self.unknown.add(body)
            else:
                self.accepted.add(body)
            gevent.sleep(0.005)

    @property
    def repeats(self) -> int:
        """How many runs there were beyond the first of each message."""
        return self.finished.total() - len(self.finished)

    def wait_finished(self, more: int, timeout_s: float) -> None:
        wanted = len(self.finished) + more
        deadline = time.monotonic() + timeout_s
        while len(self.finished) < wanted:
            assert time.monotonic() < deadline, f'{len(self.finished)} of {wanted} finished'
            gevent.sleep(0.005)

    def end(self, node: Node) -> None:
        self._stopping = True
        gevent.joinall(self._publishers, raise_error=True)
        deadline = time.monotonic() + 15
        while not self.accepted <= self.finished.keys():
            assert time.monotonic() < deadline, f'lost: {sorted(self.accepted - self.finished.keys())}'
            gevent.sleep(0.01)
        self.side.stop()
        gevent.sleep(0.1)
        self.side.close()
        assert self.finished.keys() <= self.accepted | self.unknown
        with Client(node.uri()) as client:
            client.wait_for_counts('q', ready=0, consumers=0)
            client.delete_queue('q')


def test_a_broker_that_is_killed_and_started_again(node: Node) -> None:
    """All that was confirmed is handled; no more ran twice than was unsettled, or in flight."""
    load = Load(node)
    load.wait_finished(100, 10)
    node.kill()
    node.start()
    load.wait_finished(20, 2.5)
    load.wait_finished(100, 10)
    load.end(node)
    assert load.repeats <= 50 + IN_FLIGHT


def test_a_broker_that_is_frozen_and_goes_on(node: Node) -> None:
    """It is noticed by its silence; what runs twice was sent twice; there is one consumer in the end."""
    load = Load(node)
    load.wait_finished(100, 10)
    ready = load.inbox.consumer.ready  # type: ignore[attr-defined]
    node.pause()
    deadline = time.monotonic() + 8
    while ready.is_set():
        assert time.monotonic() < deadline, 'the silence was not noticed'
        gevent.sleep(0.01)
    gevent.sleep(1.0)
    node.resume()
    load.wait_finished(20, 2.5)
    with Client(node.uri()) as client:
        client.wait_for_counts('q', consumers=1)
    load.end(node)
    assert load.repeats <= IN_FLIGHT
