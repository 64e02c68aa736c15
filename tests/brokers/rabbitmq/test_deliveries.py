"""Deliveries: what is settled, dropped or taken over when channels are lost."""

from typing import Any

import pytest

from greenmicro.brokers.rabbitmq import deliveries as module
from greenmicro.brokers.rabbitmq.acks import SETTLEMENT
from greenmicro.brokers.rabbitmq.deliveries import Deliveries
from greenmicro.brokers.rabbitmq.redeliveries import AGE_S, key_of
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


def test_of_a_long_row_that_came_to_others_before_the_first_are_suspects() -> None:
    """No more than a few processes can have left; what is new ends the row."""
    deliveries, _ = opened()
    suspects = []
    for tag in range(1, 31):
        message = arrive(deliveries, tag, f'{tag}', redelivered=tag != 20)
        deliveries.take_in(message)
        suspects.append(message.delivery.suspect)
    few = module.SUSPECTS_PER_PREFETCH * PREFETCH
    assert suspects == [*[True] * few, *[False] * (20 - few), *[True] * 10]


def test_it_is_known_how_long_ago_a_settlement_was_written() -> None:
    """Not at all so far; 0 while one waits for the writer; then by the clock."""
    now = [100.0]
    deliveries, writer = Deliveries(PREFETCH, lambda: now[0]), Writer()
    deliveries.open(1, writer.ask)
    assert deliveries.since_written_s() == float('inf')
    message = arrive(deliveries, 1)
    deliveries.take_in(message)
    deliveries.ack(message)
    now[0] = 105.0
    assert deliveries.since_written_s() == 0.0
    writer.write()
    now[0] = 106.0
    assert deliveries.since_written_s() == 1.0


def test_what_is_dropped_is_marked() -> None:
    """So that it need not wait for a worker; what has started, and what comes anew, is not."""
    deliveries, _ = opened()
    waiting, running = arrive(deliveries, 1, 'a'), arrive(deliveries, 2, 'b')
    for message in (waiting, running):
        deliveries.take_in(message)
    deliveries.begin(running)
    assert not waiting.delivery.dropped
    reopened(deliveries)
    again = arrive(deliveries, 1, 'a', redelivered=True)
    deliveries.take_in(again)
    assert [message.delivery.dropped for message in (waiting, running, again)] == [True, False, False]


def test_what_came_before_is_described_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often what its next delivery is known by is asked for: a body may be large."""
    described = []
    monkeypatch.setattr(module, 'key_of', lambda message: described.append(message) or key_of(message))
    deliveries, writer = opened()
    acked, given_back = (arrive(deliveries, tag, redelivered=True, body=b'%d' % tag) for tag in (1, 2))
    acked = acked._replace(properties={'message_id': 'a'})
    for message in (acked, given_back):
        deliveries.take_in(message)
    deliveries.ack(acked)
    deliveries.give_back(given_back)
    writer.write()
    assert described == [acked, given_back]
    reopened(deliveries)
    assert not deliveries.take_in(arrive(deliveries, 1, 'a', redelivered=True, body=b'1'))


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


def run(deliveries: Deliveries, writer: Writer, *messages: Message) -> None:
    """To an end, acks written."""
    for message in messages:
        deliveries.take_in(message)
        deliveries.begin(message)
        deliveries.ack(message)
    writer.write()


def test_a_double_that_was_given_back_is_run() -> None:
    """The finished one's ack may be lost, but of this one it is known that it did not run."""
    deliveries, writer = opened()
    run(deliveries, writer, arrive(deliveries, 1, 'a'))
    double = arrive(deliveries, 2, 'a')
    deliveries.take_in(double)
    deliveries.give_back(double)
    writer.write()
    reopened(deliveries)
    assert deliveries.take_in(arrive(deliveries, 1, 'a', redelivered=True))


def test_a_running_double_that_is_given_back_is_run() -> None:
    """Over a lost channel, too."""
    deliveries, writer = opened()
    run(deliveries, writer, arrive(deliveries, 1, 'a'))
    double = arrive(deliveries, 2, 'a')
    deliveries.take_in(double)
    deliveries.begin(double)
    reopened(deliveries)
    deliveries.give_back(double)
    assert deliveries.take_in(arrive(deliveries, 1, 'a', redelivered=True))


def test_of_two_doubles_that_were_dropped_both_are_run() -> None:
    """Though the first one's ack may be lost by the time that the second comes again."""
    deliveries, writer = opened()
    for tag in (1, 2):
        deliveries.take_in(arrive(deliveries, tag, 'a'))
    writer = reopened(deliveries)
    run(deliveries, writer, arrive(deliveries, 1, 'a', redelivered=True))
    reopened(deliveries)
    assert deliveries.take_in(arrive(deliveries, 1, 'a', redelivered=True))
    assert not deliveries.take_in(arrive(deliveries, 2, 'a', redelivered=True)), 'the ack that was lost'


def test_a_second_settlement_does_nothing() -> None:
    """Nor when the first one waits for the redelivery."""
    deliveries, _ = opened()
    first = arrive(deliveries, 1, 'a')
    deliveries.take_in(first)
    deliveries.begin(first)
    writer = reopened(deliveries)
    deliveries.ack(first)
    deliveries.give_back(first)
    assert not deliveries.take_in(arrive(deliveries, 1, 'a', redelivered=True))
    assert tags(writer.write()) == [(ACK, 1)]


def test_an_ack_of_long_ago_has_arrived() -> None:
    """It is no longer in doubt when the channel is lost, however few were written after it."""
    now = [0.0]
    deliveries, writer = Deliveries(PREFETCH, lambda: now[0]), Writer()
    deliveries.open(1, writer.ask)
    run(deliveries, writer, arrive(deliveries, 1, 'a'))
    now[0] = AGE_S + 1
    reopened(deliveries)
    assert deliveries.take_in(arrive(deliveries, 1, 'a', redelivered=True))


def test_what_comes_again_after_a_lost_channel_is_no_suspect() -> None:
    """What was dropped is known, and as many as the channel may have had under way are expected."""
    deliveries, _ = opened()
    for tag in (1, 2):
        deliveries.take_in(arrive(deliveries, tag, str(tag)))
    reopened(deliveries)
    deliveries.take_in(arrive(deliveries, 9, 'new'))
    again = [arrive(deliveries, tag, str(tag), redelivered=True) for tag in (1, 2, 3, 4)]
    for message in again:
        assert deliveries.take_in(message)
    assert [message.delivery.suspect for message in again] == [False, False, False, True]


def test_what_another_process_left_is_a_suspect() -> None:
    """It is flagged, and nothing is known of it here."""
    deliveries, _ = opened()
    new, old = arrive(deliveries, 1, 'a'), arrive(deliveries, 2, 'b', redelivered=True)
    assert deliveries.take_in(new)
    assert deliveries.take_in(old)
    assert not new.delivery.suspect
    assert old.delivery.suspect


def test_a_message_is_held_until_it_is_settled() -> None:
    """By its channel, or by its redelivery; not one that was dropped."""
    deliveries, _ = opened()
    running, pending, done = (arrive(deliveries, tag, str(tag)) for tag in (1, 2, 3))
    for message in (running, pending, done):
        deliveries.take_in(message)
    deliveries.begin(running)
    deliveries.ack(done)
    assert [deliveries.holds(message) for message in (running, pending, done)] == [True, True, False]
    reopened(deliveries)
    assert [deliveries.holds(message) for message in (running, pending, done)] == [True, False, False]
    deliveries.ack(running)
    assert not deliveries.holds(running)
