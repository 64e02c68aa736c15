"""The broker killed, frozen, full, or of another mind: nothing is lost, and it goes on as soon as it can."""

import time
from collections import Counter
from collections.abc import Callable, Iterator

import gevent
import pytest

from greenmicro.errors import BrokerError, PublishError
from greenmicro.messages import Message
from tests.brokers.rabbitmq.faults import alarm, close_connections
from tests.brokers.sides import EVENTS, Inbox, Side, event
from tests.support.amqp_client import Client
from tests.support.erlang import binary
from tests.support.patience import PATIENCE_S
from tests.support.rabbitmq import Node

#: How many publishes are in flight at once; when the connection is lost each may arrive twice.
IN_FLIGHT = 5


class Load:
    """A publisher and a consumer that go on all the time, and a ledger of what they did."""

    def __init__(self, node: Node) -> None:
        self.side = Side(node.uri(), HEARTBEAT_S=2, CONNECT_TIMEOUT_S=2, CONFIRM_TIMEOUT_S=PATIENCE_S)
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

    def wait_finished(self, more: int, timeout_s: float = PATIENCE_S) -> None:
        wanted = len(self.finished) + more
        deadline = time.monotonic() + timeout_s
        while len(self.finished) < wanted:
            assert time.monotonic() < deadline, f'{len(self.finished)} of {wanted} finished'
            gevent.sleep(0.005)

    def end(self, node: Node) -> None:
        self._stopping = True
        gevent.joinall(self._publishers, raise_error=True)
        deadline = time.monotonic() + PATIENCE_S
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
    load.wait_finished(100)
    node.kill()
    node.start()
    load.wait_finished(20, 2.5)
    load.wait_finished(100)
    load.end(node)
    assert load.repeats <= 50 + IN_FLIGHT


def test_a_broker_that_is_frozen_and_goes_on(node: Node) -> None:
    """It is noticed by its silence; what runs twice was sent twice; there is one consumer in the end."""
    load = Load(node)
    load.wait_finished(100)
    ready = load.inbox.consumer.ready  # type: ignore[attr-defined]
    node.pause()
    deadline = time.monotonic() + PATIENCE_S
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


def test_connections_that_the_broker_closes(node: Node) -> None:
    """By an operator's hand, under load: it goes on at once, and what runs twice was sent twice."""
    load = Load(node)
    load.wait_finished(100)
    assert close_connections(node, 'shop') == 2
    load.wait_finished(20, 2)
    load.wait_finished(100)
    load.end(node)
    assert load.repeats <= IN_FLIGHT


def test_a_resource_alarm(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    """What is there is consumed all the same, no connection is given up, publishing goes on within 1 s."""
    side = Side(node.uri(), HEARTBEAT_S=1, CONFIRM_TIMEOUT_S=PATIENCE_S)
    side.broker.declare(EVENTS)
    inbox = side.subscribe('q', prefetch=1)
    side.start_ready()
    for _ in range(10):
        side.broker.publish(event(b'before'))
    link = side.broker._publisher._link  # type: ignore[attr-defined]
    with alarm(node):
        publishing = gevent.spawn(side.broker.publish, event(b'meanwhile'))
        wait_until(lambda: link.blocked)
        began = time.monotonic()
        waiting = gevent.spawn(side.broker.publish, event(b'after'))
        assert inbox.take_acked(10) == [b'before'] * 10
        wait_until(lambda: time.monotonic() - began > 3.5)  # beyond what either side bears of silence
        assert not waiting.ready()
    cleared = time.monotonic()
    gevent.joinall([publishing, waiting], raise_error=True)
    assert time.monotonic() - cleared < 1
    assert inbox.take_acked(2) == [b'meanwhile', b'after']
    side.close()
    assert not [line for line in caplog.messages if 'lost' in line]


def wait_until(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        gevent.sleep(0.01)


@pytest.fixture
def account(node: Node) -> Iterator[Callable[[str, str], str]]:
    """Sets the password of an account and a pattern of what it may do, and returns its address."""
    users = 'rabbit_auth_backend_internal'
    node.eval(f'{users}:add_user(<<"shop">>, <<"first">>, <<"test">>).')

    def change(password: str, allowed: str = '.*') -> str:
        node.eval(f'{users}:change_password(<<"shop">>, {binary(password)}, <<"test">>).')
        pattern = binary(allowed)
        given = f'{pattern}, {pattern}, {pattern}'
        node.eval(f'{users}:set_permissions(<<"shop">>, <<"/">>, {given}, <<"test">>).')
        return node.uri().replace('guest:guest', f'shop:{password}')

    yield change
    node.eval(f'{users}:delete_user(<<"shop">>, <<"test">>).')


def test_a_password_that_is_changed_while_we_run(
    node: Node, account: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried every 5 s, with a line for each connection, and goes on when it is accepted again."""
    side = Side(account('first'), CONFIRM_TIMEOUT_S=PATIENCE_S)
    inbox = side.subscribe('q')
    side.start_ready()
    account('second')
    close_connections(node, 'shop')
    wait_until(lambda: len([line for line in caplog.messages if 'refused at' in line]) == 2)
    assert not [line for line in caplog.messages if 'first' in line]
    account('first')
    accepted = time.monotonic()
    side.broker.publish(event(b'x'))
    inbox.ack(inbox.next())
    assert time.monotonic() - accepted < 5 + 2
    assert node.log.count("user 'shop' - invalid credentials") <= 4
    side.close()
    assert side.fatal.empty()


def test_an_account_that_may_not(account: Callable[..., str]) -> None:
    """It ends the start, with what it may not."""
    side = Side(account('first', '^$'))
    side.subscribe('q')
    side.start()
    error = side.fatal.get(timeout=PATIENCE_S)
    assert isinstance(error, BrokerError)
    assert "refused for user 'shop'" in str(error)
    side.close()
