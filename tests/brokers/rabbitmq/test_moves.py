"""Moves: no copy runs while the broker may still have its original."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenmicro.brokers.rabbitmq.moves import Moves
from greenmicro.messages import Message, Publication
from tests.support.patience import PATIENCE_S

COPY = Publication('', 'queue', b'')


class Broker:
    """A republisher and a channel whose answers come when the test says so.

    Attributes:
        confirms: Set to let what is being moved arrive, by message.
        answer: Set to let the channel answer.
        asked: How often it was asked.
        held: Which messages are still to be settled.
    """

    def __init__(self) -> None:
        self.confirms: dict[bytes, Event] = {}
        self.answer = Event()
        self.asked = 0
        self.error: Exception | None = None
        self.held = {b'a', b'b'}
        self.received: list[bytes] = []

    def holds(self, message: Message) -> bool:
        return message.body in self.held

    def move(self, message: Message, publication: Publication, deliveries: Any, refused: Any) -> Any:
        self.refused = refused
        confirm = self.confirms[message.body] = Event()
        return gevent.spawn(confirm.wait)

    def settle(self) -> None:
        self.asked += 1
        self.answer.wait()
        if self.error:
            raise self.error

    def receive(self, message: Message) -> None:
        self.received.append(message.body)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def moves(broker: Broker) -> Moves:
    return Moves(broker, broker, broker.settle, broker.receive)  # type: ignore[arg-type]


def test_without_a_move_a_message_is_handed_on_at_once(broker: Broker, moves: Moves) -> None:
    """Nothing is asked of the broker for it."""
    moves.receive(Message(b'copy'))
    assert (broker.received, broker.asked) == ([b'copy'], 0)


def test_a_copy_waits_until_its_original_is_gone(broker: Broker, moves: Moves) -> None:
    """First until that is acked, then until the broker has carried the ack out."""
    moves.move(Message(b'a'), COPY)
    moves.receive(Message(b'copy'))
    gevent.idle()
    assert (broker.received, broker.asked) == ([], 0)
    broker.confirms[b'a'].set()
    gevent.idle()
    assert (broker.received, broker.asked) == ([], 1)
    broker.answer.set()
    moves.wait(PATIENCE_S)
    assert broker.received == [b'copy']


def test_a_copy_that_comes_after_the_ack_waits_for_the_broker(broker: Broker, moves: Moves) -> None:
    """Once the broker has answered, what comes later is handed on at once."""
    moves.move(Message(b'a'), COPY)
    broker.confirms[b'a'].set()
    gevent.idle()
    moves.receive(Message(b'copy'))
    assert broker.received == []
    broker.answer.set()
    moves.wait(PATIENCE_S)
    moves.receive(Message(b'other'))
    assert (broker.received, broker.asked) == ([b'copy', b'other'], 1)


def test_what_comes_meanwhile_waits_for_an_answer_of_its_own(broker: Broker, moves: Moves) -> None:
    """Its original may have been acked after the broker was asked."""
    moves.move(Message(b'a'), COPY)
    broker.confirms[b'a'].set()
    moves.receive(Message(b'first'))
    gevent.idle()
    moves.move(Message(b'b'), COPY)
    moves.receive(Message(b'second'))
    broker.answer.set()
    gevent.idle()
    assert broker.received == [b'first']
    broker.confirms[b'b'].set()
    moves.wait(PATIENCE_S)
    assert (broker.received, broker.asked) == ([b'first', b'second'], 2)


def test_a_lost_channel_holds_nothing_up(broker: Broker, moves: Moves) -> None:
    """What is handed on then is not begun: the broker delivers it again."""
    moves.move(Message(b'a'), COPY)
    moves.receive(Message(b'copy'))
    broker.confirms[b'a'].set()
    broker.error = OSError('lost')
    broker.answer.set()
    moves.wait(PATIENCE_S)
    assert broker.received == [b'copy']


def test_what_is_settled_already_is_not_moved(broker: Broker, moves: Moves) -> None:
    """It would live twice."""
    moves.move(Message(b'settled'), COPY)
    assert not broker.confirms


def test_what_a_full_queue_refuses_is_run_unmoved(broker: Broker, moves: Moves) -> None:
    """Or is given back, at a stop; tried on, it would keep the place of one that makes room."""
    moves.move(Message(b'a'), COPY)
    broker.refused(Message(b'a'))
    assert broker.received == [b'a']
    moves.move(Message(b'b'), COPY, broker.confirms.get)
    assert broker.refused == broker.confirms.get


def test_what_waits_in_the_broker_has_no_copy_here(broker: Broker, moves: Moves) -> None:
    """Nothing waits for it."""
    moves.move(Message(b'a'), COPY._replace(delay_s=1))
    moves.receive(Message(b'other'))
    assert broker.received == [b'other']
