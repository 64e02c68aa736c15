"""The network between us and RabbitMQ, at its worst: nothing lost, and nothing run twice."""

import logging
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import gevent
import pytest

from greenmicro.errors import UnconfirmedError
from greenmicro.messages import Message
from tests.brokers.sides import EVENTS, Inbox, Side, event
from tests.support.amqp_client import Client
from tests.support.patience import PATIENCE_S
from tests.support.proxy import Proxy
from tests.support.rabbitmq import Node


@pytest.fixture
def proxy(rabbitmq: Node) -> Iterator[Proxy]:
    with Proxy(rabbitmq.port) as made:
        yield made


class Work:
    """A consumer behind the proxy, and how often each message was run to its end."""

    def __init__(self, uri: str, proxy: Proxy, heartbeat_s: int = 1) -> None:
        path = urlsplit(uri).path
        self.uri = f'amqp://guest:guest@127.0.0.1:{proxy.port}{path}'
        self.side = Side(self.uri, HEARTBEAT_S=heartbeat_s, CONNECT_TIMEOUT_S=1)
        self.side.broker.declare(EVENTS)
        self.inbox: Inbox = self.side.subscribe('q', prefetch=30, receive=self.receive)
        self.finished: Counter[bytes] = Counter()
        self.side.start_ready()

    def receive(self, message: Message) -> None:
        gevent.spawn(self._run, message)

    def _run(self, message: Message) -> None:
        if self.inbox.consumer.begin(message):
            gevent.sleep(0.005)
            self.finished[message.body] += 1
            self.inbox.ack(message)

    def wait_finished(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while len(self.finished) < count:
            assert time.monotonic() < deadline, f'{len(self.finished)} of {count}'
            gevent.sleep(0.005)


@pytest.fixture
def work(amqp_uri: str, proxy: Proxy) -> Iterator[Work]:
    made = Work(amqp_uri, proxy)
    yield made
    made.side.close()


@pytest.fixture
def patient_work(amqp_uri: str, proxy: Proxy) -> Iterator[Work]:
    """One that bears a machine that is too busy to send a heartbeat each second."""
    made = Work(amqp_uri, proxy, heartbeat_s=5)
    yield made
    made.side.close()


def fill(client: Client, first: int, last: int) -> None:
    for number in range(first, last):
        client.publish(EVENTS.name, 'order', number, message_id=str(number))


@pytest.mark.parametrize(
    'fault',
    [
        {'now': 'rst'},
        {'now': 'fin'},
        {'up': {'mode': 'blackhole'}},
        {'down': {'mode': 'blackhole'}},
        {'up': {'mode': 'stall'}, 'down': {'mode': 'stall'}},
    ],
    ids=['rst', 'fin', 'blackhole up', 'blackhole down', 'stall'],
)
def test_a_connection_that_is_lost(
    work: Work, proxy: Proxy, amqp_client: Client, fault: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    """While messages flow: each is run once, and acked; acks that vanished are not run again."""
    fill(amqp_client, 0, 100)
    work.wait_finished(50)
    proxy.set(**fault)
    fill(amqp_client, 100, 150)
    wait_lost(caplog, 'consume')
    healed = time.monotonic()
    proxy.set()
    work.wait_finished(150)
    assert time.monotonic() - healed < 4
    work.side.stop()
    work.side.close()
    amqp_client.wait_for_counts('q', ready=0, consumers=0)
    assert set(work.finished.values()) == {1}


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """So many open descriptors that the next ones are above 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(1024)]
    yield
    for descriptor in kept:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_silence_is_noticed_whatever_the_descriptor(
    many_descriptors: None, work: Work, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """A service with a thousand sockets open, to which select() is of no use."""
    proxy.set(down={'mode': 'blackhole'})
    wait_lost(caplog, 'consume')
    assert any('the broker was silent' in message for message in caplog.messages)


@pytest.mark.parametrize(
    'nuisance',
    [
        {'up': {'mode': 'slice', 'most': 3}, 'down': {'mode': 'slice', 'most': 3}},
        {'up': {'mode': 'delay', 'seconds': 0.2}, 'down': {'mode': 'delay', 'seconds': 0.2}},
        {'down': {'mode': 'rate', 'bytes_per_second': 60_000}},
    ],
    ids=['slice', 'delay', 'rate'],
)  # fmt: skip
def test_a_connection_that_is_slow(
    patient_work: Work,
    proxy: Proxy,
    amqp_client: Client,
    nuisance: dict[str, object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is noticed but time: no connection is given up, nothing is run twice."""
    caplog.set_level(logging.WARNING, 'greenmicro')
    proxy.set(**nuisance)
    fill(amqp_client, 0, 100)
    patient_work.wait_finished(100)
    patient_work.side.stop()
    patient_work.side.close()
    amqp_client.wait_for_counts('q', ready=0, consumers=0)
    assert set(patient_work.finished.values()) == {1}
    assert not caplog.messages


def wait_lost(caplog: pytest.LogCaptureFixture, name: str, timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not any(f'{name} connection: lost' in message for message in caplog.messages):
        assert time.monotonic() < deadline, 'it was not noticed'
        gevent.sleep(0.005)


def test_a_peer_that_stops_in_the_middle_of_a_frame(
    work: Work, proxy: Proxy, amqp_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """It is noticed as any silence is, and not before: while the frame comes, however slowly, it lives."""
    proxy.set(down={'mode': 'rate', 'bytes_per_second': 30_000})
    amqp_client.publish(EVENTS.name, 'order', b'x' * 120_000, message_id='large')
    connection = work.side.broker._link.connection  # type: ignore[attr-defined]
    received = connection.transport.last_received
    began = time.monotonic()
    while time.monotonic() - began < 2.5:
        gevent.sleep(0.01)
    assert connection.transport.last_received > received + 2
    assert not caplog.messages
    proxy.set(down={'mode': 'blackhole'})
    wait_lost(caplog, 'consume')
    proxy.set()
    work.wait_finished(1)
    assert set(work.finished.values()) == {1}


def test_a_peer_that_stops_reading(
    patient_work: Work, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """A publish ends at its deadline, nothing else waits for it, and close keeps its time."""
    side = Side(patient_work.uri, HEARTBEAT_S=5, CONFIRM_TIMEOUT_S=0.5)
    side.start_ready()
    proxy.set(up={'mode': 'stall'})
    turns = 0
    publishing = gevent.spawn(raises, UnconfirmedError, lambda: side.broker.publish(event(bytes(20_000_000))))
    began = time.monotonic()
    while not publishing.ready():
        turns += 1
        gevent.sleep(0.005)
    publishing.get()
    assert time.monotonic() - began < 5  # and not when the silence is noticed
    assert turns > 10
    began = time.monotonic()
    side.broker.close(0.5)
    assert time.monotonic() - began < 3
    assert not caplog.messages


def raises(kind: type[Exception], call: Callable[[], None]) -> None:
    with pytest.raises(kind):
        call()
