"""Deliveries, driven by a model of a queue: never acked unrun, and never run twice, whatever is lost."""

from collections import Counter
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from greenmicro.brokers.rabbitmq.deliveries import Deliveries
from greenmicro.brokers.rabbitmq.redeliveries import AGE_S, key_of
from greenmicro.messages import Message
from tests.brokers.rabbitmq.queue_model import Content, Copy, QueueModel

PREFETCH = 3
PLACES = st.integers(0, 9)


class Writer:
    """Stands for the outbox: keeps the sources that asked to be written."""

    def __init__(self) -> None:
        self.sources: list[Any] = []

    def ask(self, source: Any) -> None:
        self.sources.append(source)

    def take(self) -> bytes:
        sources, self.sources = self.sources, []
        return b''.join(source() for source in sources)


class BrokerAndConsumer(RuleBasedStateMachine):
    """A queue, its consumer's Deliveries, and everything that may go wrong between the two.

    What it cannot hold is told in ARCHITECTURE.md: a message of exactly the content of another one, flagged
    though no delivery of it was ever read here, is taken for that other one if the other's ack was written
    and may have been lost; or it is run in the place of one that was let go of unrun, which is then taken for
    it in the same way. These are counted in `mistaken`, and nothing else may be acked unrun.
    """

    @initialize(quorum=st.booleans())
    def open(self, quorum: bool) -> None:
        self.queue = QueueModel(quorum, PREFETCH, AGE_S)
        self.deliveries = Deliveries(PREFETCH, lambda: self.queue.clock)
        self.writer = Writer()
        self.deliveries.open(self.queue.open(), self.writer.ask)
        self.pending: list[tuple[Message, Copy]] = []
        self.running: list[tuple[Message, Copy]] = []
        self.finished: Counter[Content] = Counter()
        self.given_up: Counter[Content] = Counter()
        self.started: Counter[Content] = Counter()
        self.mistaken: Counter[Content] = Counter()
        self.copies: Counter[Content] = Counter()
        self.aged: set[Content] = set()
        self.numbers = 0
        self.others = False  # whether others, or a broker's end, may be why a message comes flagged
        for what in ('a', 'a', 'no id', 'no id'):
            self.publish(what, 0)

    # Those who publish, and others who consume. Few rules with choices: each step then is one that matters.

    @rule(what=st.sampled_from(['a', 'no id', 'no id', 'double']), place=PLACES)
    def publish(self, what: str, place: int) -> None:
        """With an id that was used before, and another body; without id, and always the same; or once more.

        Once more: a publisher that takes it for lost, or a dead letter that is requeued as it was.
        """
        self.numbers += 1
        if what == 'double' and self.copies:
            content = list(self.copies)[place % len(self.copies)]
        elif what == 'no id':
            content = Content(None, b'', 0, 0)
        else:
            content = Content(what, b'%d' % self.numbers, 0, 0)
        self.put(content)

    def put(self, content: Content) -> None:
        self.copies[content] += 1
        self.queue.publish(content)

    @precondition(lambda self: self.queue.ready or self.queue.elsewhere)
    @rule(how=st.sampled_from(['take', 'settle', 'die']))
    def elsewhere(self, how: str) -> None:
        """Another consumer takes a message; it may settle it at once or later, or die with it."""
        self.others = True
        if self.queue.ready:
            self.queue.send_elsewhere()
        if how != 'take':
            self.queue.end_elsewhere(how == 'die')

    # The consumer.

    @precondition(lambda self: self.queue.can_send() or self.queue.downstream)
    @rule(count=st.integers(1, PREFETCH), read=st.integers(0, PREFETCH), noticed=st.booleans())
    def deliver(self, count: int, read: int, noticed: bool) -> None:
        """Some messages are sent; what is not read may be lost on its way."""
        if noticed:
            self.queue.notice()
        for _ in range(count):
            if self.queue.can_send():
                self.queue.send()
        for _ in range(read):
            if self.queue.downstream:
                self.read()

    def read(self) -> None:
        tag, copy = self.queue.downstream.pop(0)
        message = self.message(copy, tag)
        # White box: one that is known to be still with the broker is never mistaken.
        alike = self.deliveries._doubts._by_key.get(key_of(message), ())
        let_go = key_of(message) in self.deliveries._dropped._counts
        if (
            not message.redelivered
        ):  # what may be this one is not taken for a finished one: run twice, at worst
            self.given_up[copy.content] += sum(not doubt.owed for doubt in alike)
        unread_double = copy.redelivered and self.copies[copy.content] > 1 and not copy.seen
        if self.deliveries.take_in(message):
            self.pending.append((message, copy))
            assert self.others or not message.delivery.suspect
            mistaken = let_go  # for one that was let go of unrun: that one may be taken for this one later
        else:
            mistaken = not any(doubt.owed for doubt in alike)
        if copy.content.message_id is not None and unread_double:
            self.mistaken[copy.content] += mistaken
        copy.seen = True

    def message(self, copy: Copy, tag: int) -> Message:
        content = copy.content
        headers = dict(content.headers)
        if self.queue.quorum and copy.deliveries:
            headers['x-delivery-count'] = copy.deliveries
        properties = {} if content.message_id is None else {'message_id': content.message_id}
        delivery = self.deliveries.delivery(tag)
        return Message(content.body, properties, headers, redelivered=copy.redelivered, delivery=delivery)

    @precondition(lambda self: self.pending)
    @rule(place=PLACES, how=st.sampled_from(['start', 'start', 'finish', 'finish', 'move', 'give back']))
    def take_up(self, place: int, how: str) -> None:
        """A worker starts; with a target that never waits it is done at once. Or it is not to be run here."""
        self.pending = [held for held in self.pending if self.deliveries.holds(held[0])] or self.pending[:1]
        message, copy = self.pending.pop(place % len(self.pending))
        if how == 'give back':
            self.give_back(message, copy)
        elif self.deliveries.begin(message):
            if how == 'move':  # to the end of the queue, as another message; its run is still to come
                self.put(copy.content._replace(moves=copy.content.moves + 1))
            else:
                self.started[copy.content] += 1
            if how == 'start':
                self.running.append((message, copy))
            else:
                self.finish(message, copy)

    @precondition(lambda self: self.running)
    @rule(place=PLACES, how=st.sampled_from(['finish', 'finish', 'retry', 'give back']))
    def come_to_an_end(self, place: int, how: str) -> None:
        message, copy = self.running.pop(place % len(self.running))
        if how == 'give back':
            self.give_back(message, copy)
            return
        if how == 'retry':
            self.put(copy.content._replace(attempt=copy.content.attempt + 1))
        self.finish(message, copy)

    def finish(self, message: Message, copy: Copy) -> None:
        self.finished[copy.content] += 1
        self.deliveries.ack(message)
        self.deliveries.give_back(message)  # a second settlement does nothing
        if self.numbers % 2:
            self.write(0)

    def give_back(self, message: Message, copy: Copy) -> None:
        self.given_up[copy.content] += 1
        self.deliveries.give_back(message)
        self.deliveries.ack(message)  # a second settlement does nothing

    # What is between the two.

    @rule(arrive=st.integers(0, 3))
    def write(self, arrive: int) -> None:
        self.queue.write(self.writer.take())
        self.queue.arrive(arrive)

    @rule(seconds=st.sampled_from([0.3, 0.3, 1.0, 1.0, 5.0, AGE_S + 1]))
    def pass_time(self, seconds: float) -> None:
        """What has finished long ago is not remembered."""
        self.queue.clock += seconds
        if seconds > AGE_S:
            self.others = True
            self.aged |= self.finished.keys()

    @rule(
        how=st.sampled_from(['connection', 'connection', 'channel', 'broker']),
        some=st.integers(0, 4),
        noticed=st.booleans(),
    )
    def lose(self, how: str, some: int, noticed: bool) -> None:
        """Of what is under way some arrives; the broker may notice late. Killed, it forgets some acks."""
        if how == 'broker':
            self.queue.die(some)
        else:
            self.queue.lose(some, noticed or how == 'channel')
        self.deliveries.lose()
        if how != 'channel':  # then the connection stays, and so does its writer
            assert self.writer.take() == b''
            self.writer = Writer()
        self.deliveries.open(self.queue.open(), self.writer.ask)

    # What holds at all times.

    @invariant()
    def each_ack_has_a_run_of_its_own(self) -> None:
        for content, count in self.queue.acked.items():
            runs = self.finished[content] + self.mistaken[content]
            assert count <= runs, f'{content} was acked unrun'

    @invariant()
    def what_has_an_id_is_run_once(self) -> None:
        for content, count in self.started.items():
            if content.message_id is not None and content not in self.aged:
                most = self.copies[content] + self.given_up[content]
                assert count <= most, f'{content} was run {count} times'

    @invariant()
    def memory_is_bounded(self) -> None:
        assert self.deliveries.unsettled <= PREFETCH

    def teardown(self) -> None:
        """Without further faults everything is settled in the end."""
        queue = self.queue
        queue.notice()
        while queue.elsewhere:
            queue.end_elsewhere(dies=True)
        for _ in range(4 * (queue.published + 1)):
            self.deliver(PREFETCH, PREFETCH, True)
            if self.pending:
                self.take_up(0, 'finish')
            if self.running:
                self.come_to_an_end(0, 'finish')
            self.write(9)
            self.each_ack_has_a_run_of_its_own()
            self.what_has_an_id_is_run_once()
        assert not queue.ready
        assert not queue.out
        assert self.deliveries.unsettled == 0


BrokerAndConsumer.TestCase.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None, report_multiple_bugs=False
)
TestBrokerAndConsumer = BrokerAndConsumer.TestCase
