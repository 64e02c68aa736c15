"""Deliveries: what is settled, dropped or taken over when channels are lost."""

from collections import Counter, deque
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from greenmicro.brokers.rabbitmq.acks import SETTLEMENT
from greenmicro.brokers.rabbitmq.deliveries import Deliveries
from greenmicro.messages import ATTEMPT_HEADER, Message

ACK, NACK = 80, 120
PREFETCH = 3


class Writer:
    """Stands for the outbox: keeps the sources that asked to be written."""

    def __init__(self) -> None:
        self.sources: list[Any] = []

    def ask(self, source: Any) -> None:
        self.sources.append(source)

    def write(self) -> bytes:
        sources, self.sources = self.sources, []
        return b''.join(source() for source in sources)


def arrive(
    deliveries: Deliveries, tag: int, message_id: str | None = None, body: bytes = b'', **fields: Any
) -> Message:
    """A message as it comes in, with its delivery."""
    properties = {} if message_id is None else {'message_id': message_id}
    return Message(body, properties, delivery=deliveries.delivery(tag), **fields)


def tags(data: bytes) -> list[tuple[int, int]]:
    """The (method, tag) of each frame."""
    frames = [SETTLEMENT.unpack_from(data, at) for at in range(0, len(data), SETTLEMENT.size)]
    return [(frame[4], frame[5]) for frame in frames]


def opened() -> tuple[Deliveries, Writer]:
    deliveries, writer = Deliveries(PREFETCH), Writer()
    deliveries.open(1, writer.ask)
    return deliveries, writer


def reopened(deliveries: Deliveries) -> Writer:
    deliveries.lose()
    writer = Writer()
    deliveries.open(1, writer.ask)
    return writer


def test_what_has_not_started_is_dropped_with_its_channel() -> None:
    """Its redelivery runs; the dropped one is not begun and settles nothing."""
    deliveries, _ = opened()
    first = arrive(deliveries, 1, 'a')
    assert deliveries.take_in(first)
    writer = reopened(deliveries)
    assert not deliveries.begin(first)
    assert deliveries.take_in(arrive(deliveries, 1, 'a', redelivered=True))
    deliveries.ack(first)
    deliveries.give_back(first)
    assert not writer.sources
    assert deliveries.unsettled == 1


def test_what_runs_settles_its_redelivery() -> None:
    """A message that is running when its channel is lost is not run again; its ack goes to the new tag."""
    deliveries, _ = opened()
    first = arrive(deliveries, 1, 'a')
    deliveries.take_in(first)
    deliveries.begin(first)
    writer = reopened(deliveries)
    assert deliveries.take_in(arrive(deliveries, 1, 'b'))
    assert not deliveries.take_in(arrive(deliveries, 2, 'a', redelivered=True))
    assert deliveries.begin(first)
    deliveries.ack(first)
    assert tags(writer.write()) == [(ACK, 2)]


def test_the_tag_of_a_lost_channel_is_not_taken_for_one_of_the_new() -> None:
    """A late settlement leaves another message with the same tag alone."""
    deliveries, _ = opened()
    first = arrive(deliveries, 1, 'a')
    deliveries.take_in(first)
    deliveries.begin(first)
    writer = reopened(deliveries)
    other = arrive(deliveries, 1, 'b')
    deliveries.take_in(other)
    deliveries.ack(first)
    assert not writer.sources
    deliveries.ack(other)
    assert tags(writer.write()) == [(ACK, 1)]


def test_a_finished_message_whose_ack_was_lost_is_acked_unrun() -> None:
    """Once; the next one of that id is run."""
    deliveries, writer = opened()
    first = arrive(deliveries, 1, 'a')
    deliveries.take_in(first)
    deliveries.begin(first)
    deliveries.ack(first)
    writer.write()
    writer = reopened(deliveries)
    assert not deliveries.take_in(arrive(deliveries, 1, 'a', redelivered=True))
    assert deliveries.take_in(arrive(deliveries, 2, 'a', redelivered=True))
    assert tags(writer.write()) == [(ACK, 1)]


def test_a_new_message_of_the_same_id_is_run() -> None:
    """Not flagged, of another body, attempt or routing key: each is another message."""
    deliveries, writer = opened()
    first = arrive(deliveries, 1, 'a', b'x')
    deliveries.take_in(first)
    deliveries.begin(first)
    deliveries.ack(first)
    writer.write()
    reopened(deliveries)
    assert deliveries.take_in(arrive(deliveries, 1, 'a', b'y', redelivered=True))
    assert deliveries.take_in(arrive(deliveries, 2, 'a', b'x', redelivered=True, headers={ATTEMPT_HEADER: 1}))
    assert deliveries.take_in(arrive(deliveries, 3, 'a', b'x', redelivered=True, routing_key='other'))
    assert deliveries.take_in(arrive(deliveries, 4, 'a', b'x'))
    assert deliveries.take_in(arrive(deliveries, 5, 'a', b'x', redelivered=True)), 'it may be the one before'


def test_a_finished_message_is_not_taken_for_its_unstarted_double() -> None:
    """Of two alike the second was dropped unstarted: its redelivery is run."""
    deliveries, writer = opened()
    first, second = arrive(deliveries, 1, 'a'), arrive(deliveries, 2, 'a')
    deliveries.take_in(first)
    deliveries.take_in(second)
    deliveries.begin(first)
    deliveries.ack(first)
    writer.write()
    reopened(deliveries)
    assert deliveries.take_in(arrive(deliveries, 1, 'a', redelivered=True))


def test_acks_of_a_lost_channel_are_not_written() -> None:
    """Even if the writer asks for them later: on a closed channel they end the connection (504)."""
    deliveries, writer = opened()
    first = arrive(deliveries, 1, 'a')
    deliveries.take_in(first)
    deliveries.begin(first)
    deliveries.ack(first)
    deliveries.lose()
    assert writer.write() == b''
    deliveries.open(2, writer.ask)
    assert not deliveries.take_in(arrive(deliveries, 1, 'a', redelivered=True))
    assert tags(writer.write()) == [(ACK, 1)]


def test_without_an_id_only_what_was_certainly_not_settled_is_matched() -> None:
    """A running one takes its redelivery over; one whose ack may have arrived is run again."""
    deliveries, writer = opened()
    done, running = arrive(deliveries, 1, body=b'x'), arrive(deliveries, 2, body=b'y')
    for message in (done, running):
        deliveries.take_in(message)
        deliveries.begin(message)
    deliveries.ack(done)
    writer.write()
    reopened(deliveries)
    assert deliveries.take_in(arrive(deliveries, 1, body=b'x', redelivered=True))
    assert not deliveries.take_in(arrive(deliveries, 2, body=b'y', redelivered=True))


def test_a_running_message_that_is_given_back_is_run_again() -> None:
    """Its entry ends with it."""
    deliveries, _ = opened()
    first = arrive(deliveries, 1, 'a')
    deliveries.take_in(first)
    deliveries.begin(first)
    reopened(deliveries)
    deliveries.give_back(first)
    assert deliveries.take_in(arrive(deliveries, 1, 'a', redelivered=True))


class Copy:
    """A message in the model's queue."""

    def __init__(self, message_id: str | None, body: bytes, attempt: int) -> None:
        self.message_id = message_id
        self.body = body
        self.headers = {ATTEMPT_HEADER: attempt} if attempt else {}
        self.redelivered = False

    @property
    def key(self) -> Any:
        return self.message_id, self.body, bool(self.headers)


class BrokerAndConsumer(RuleBasedStateMachine):
    """A queue with one prefetch, a connection that loses what is under way, replicas, and a consumer.

    Those who reuse an id send another body with it; those who send none may send the same bytes twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ready: deque[Copy] = deque()
        self.unacked: dict[int, Copy] = {}
        self.unnoticed: list[Copy] = []  # of channels whose loss the broker has not seen yet
        self.elsewhere: list[Copy] = []
        self.tag = 0
        self.downstream: deque[tuple[int, Copy]] = deque()
        self.upstream = b''
        self.deliveries, self.writer = opened()
        self.pending: list[Message] = []
        self.running: list[Message] = []
        self.keys: dict[int, Any] = {}
        self.finished: Counter[Any] = Counter()
        self.acked: Counter[Any] = Counter()
        self.published = 0

    # The broker and those around it.

    @rule(
        message_id=st.sampled_from(['a', 'b', None]),
        body=st.sampled_from([b'x', b'y']),
        attempt=st.integers(0, 1),
    )
    def publish(self, message_id: str | None, body: bytes, attempt: int) -> None:
        self.published += 1
        unique = b'' if message_id is None else b' %d' % self.published
        self.ready.append(Copy(message_id, body + unique, attempt))

    @precondition(lambda self: self.ready and len(self.unacked) < PREFETCH)
    @rule()
    def send(self) -> None:
        self.tag += 1
        self.unacked[self.tag] = self.ready.popleft()
        self.downstream.append((self.tag, self.unacked[self.tag]))

    @precondition(lambda self: self.ready)
    @rule()
    def send_to_a_replica(self) -> None:
        self.elsewhere.append(self.ready.popleft())

    @precondition(lambda self: self.elsewhere)
    @rule(dies=st.booleans())
    def end_at_a_replica(self, dies: bool) -> None:
        copy = self.elsewhere.pop(0)
        if dies:
            self.requeue([copy])

    @precondition(lambda self: self.unnoticed)
    @rule()
    def notice(self) -> None:
        unnoticed, self.unnoticed = self.unnoticed, []
        self.requeue(unnoticed)

    def requeue(self, copies: list[Copy]) -> None:
        for copy in copies:
            copy.redelivered = True
        self.ready.extendleft(reversed(copies))

    @precondition(lambda self: self.upstream)
    @rule(frames=st.integers(1, 4))
    def settle_at_the_broker(self, frames: int) -> None:
        data, self.upstream = (
            self.upstream[: frames * SETTLEMENT.size],
            self.upstream[frames * SETTLEMENT.size :],
        )
        for at in range(0, len(data), SETTLEMENT.size):
            _, _, _, _, method, tag, flags, _ = SETTLEMENT.unpack_from(data, at)
            assert tag in self.unacked, '406: unknown delivery tag'
            for one in [tag] if method == NACK or not flags else [t for t in self.unacked if t <= tag]:
                copy = self.unacked.pop(one)
                if method == NACK:
                    self.requeue([copy])
                else:
                    self.acked[copy.key] += 1

    # The consumer.

    @precondition(lambda self: self.downstream)
    @rule()
    def receive(self) -> None:
        tag, copy = self.downstream.popleft()
        message = arrive(
            self.deliveries,
            tag,
            copy.message_id,
            copy.body,
            headers=copy.headers,
            redelivered=copy.redelivered,
        )
        if self.deliveries.take_in(message):
            self.keys[id(message)] = copy.key
            self.pending.append(message)

    @precondition(lambda self: self.pending)
    @rule(place=st.integers(0, 9))
    def start(self, place: int) -> None:
        message = self.pending.pop(place % len(self.pending))
        if self.deliveries.begin(message):
            self.running.append(message)

    @precondition(lambda self: self.running)
    @rule(place=st.integers(0, 9))
    def finish(self, place: int) -> None:
        message = self.running.pop(place % len(self.running))
        self.finished[self.keys[id(message)]] += 1
        self.deliveries.ack(message)

    @precondition(lambda self: self.running or self.pending)
    @rule(place=st.integers(0, 9))
    def give_back(self, place: int) -> None:
        held = self.running or self.pending
        self.deliveries.give_back(held.pop(place % len(held)))

    @rule()
    def write(self) -> None:
        self.upstream += self.writer.write()

    @rule(arrived=st.integers(0, 4), noticed=st.booleans())
    def lose(self, arrived: int, noticed: bool) -> None:
        if arrived and self.upstream:
            self.settle_at_the_broker(arrived)
        self.upstream = b''
        self.downstream.clear()
        self.tag = 0
        self.unnoticed += self.unacked.values()
        self.unacked = {}
        if noticed:
            self.notice()
        old = self.writer
        self.deliveries.lose()
        assert old.write() == b''
        self.writer = Writer()
        self.deliveries.open(1, self.writer.ask)

    # What holds at all times.

    @invariant()
    def each_ack_has_a_run_of_its_own(self) -> None:
        for key, count in self.acked.items():
            assert count <= self.finished[key], f'{key} was acked unrun'

    @invariant()
    def what_has_an_id_is_finished_once(self) -> None:
        for key, count in self.finished.items():
            assert key[0] is None or count == 1, f'{key} was run {count} times'

    @invariant()
    def memory_is_bounded(self) -> None:
        assert self.deliveries.unsettled <= PREFETCH
        assert len(self.deliveries._doubts) <= 2 * 16 * PREFETCH

    def teardown(self) -> None:
        """Without further faults everything is settled in the end."""
        self.notice()
        self.requeue(self.elsewhere)
        for _ in range(10 * (self.published + 1)):
            if self.ready and len(self.unacked) < PREFETCH:
                self.send()
            if self.downstream:
                self.receive()
            if self.pending:
                self.start(0)
            if self.running:
                self.finish(0)
            self.write()
            if self.upstream:
                self.settle_at_the_broker(9)
            self.each_ack_has_a_run_of_its_own()
            self.what_has_an_id_is_finished_once()
        assert not self.ready
        assert not self.unacked
        assert self.deliveries.unsettled == 0


BrokerAndConsumer.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestBrokerAndConsumer = BrokerAndConsumer.TestCase
