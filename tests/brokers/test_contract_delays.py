"""The contract of brokers, for each of them: retries and delayed events."""

import time
from typing import Any

import pytest

from greenmicro.brokers.base import Broker
from greenmicro.brokers.rabbitmq import delays
from greenmicro.copies import ORIGIN_EXCHANGE, ORIGIN_ROUTING_KEY
from greenmicro.messages import ATTEMPT_HEADER, CRASHES_HEADER, Failure, Reason
from tests.brokers.sides import EVENTS, PROPERTIES, Listen, event


@pytest.fixture(autouse=True)
def _no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker is not killed here: no need to wait until a new queue would survive that."""
    monkeypatch.setattr(delays, 'SETTLED_S', 0.0)


def test_a_retried_message_comes_again_after_its_delay(broker: Broker, listen: Listen) -> None:
    """With its body, its properties, its names, and one attempt more."""
    inbox = listen('work', routing_key='order.*')
    broker.publish(event(b'{"id": 1}', 'order.placed', headers={'tenant': 7}, reply_to='r'))
    first = inbox.next()
    began = time.monotonic()
    inbox.retry(first, 0.15)
    again = inbox.next()
    assert time.monotonic() - began >= 0.2  # the next step up
    assert (again.body, again.exchange, again.routing_key) == (b'{"id": 1}', EVENTS.name, 'order.placed')
    assert dict(again.properties) == {**PROPERTIES, 'reply_to': 'r'}
    assert (again.headers['tenant'], again.attempt, again.redelivered) == (7, 2, False)
    inbox.ack(again)


def test_it_may_come_again_any_number_of_times(broker: Broker, listen: Listen) -> None:
    """Through the same delay: a broker drops what it takes to be going in circles."""
    inbox = listen('work')
    broker.publish(event(b'1'))
    for attempt in range(1, 5):
        message = inbox.next()
        assert message.attempt == attempt
        inbox.retry(message, 0.1)
    last = inbox.next()
    assert (last.headers[ATTEMPT_HEADER], last.exchange) == (4, EVENTS.name)
    assert (last.headers[ORIGIN_EXCHANGE], last.headers[ORIGIN_ROUTING_KEY]) == (EVENTS.name, 'order')
    inbox.ack(last)


def test_a_crash_is_no_attempt(broker: Broker, listen: Listen) -> None:
    """It is counted in a header of its own."""
    inbox = listen('work')
    broker.publish(event(b'1'))
    inbox.retry(inbox.next(), 0.1, Failure(Reason.WORKER_LOST, 'worker lost: killed by SIGKILL'))
    again = inbox.next()
    assert (again.attempt, again.crashes, again.headers[CRASHES_HEADER]) == (1, 1, 1)


def test_a_retry_makes_room_and_lets_fresh_ones_go_first(broker: Broker, listen: Listen) -> None:
    """While it waits the prefetch is free; it comes back to the end of its queue."""
    inbox = listen('work', prefetch=1)
    broker.publish(event(b'failing'))
    inbox.retry(inbox.next(), 0.5)
    for number in range(3):
        broker.publish(event(b'%d' % number))
    assert inbox.take_acked(4) == [b'0', b'1', b'2', b'failing']


def test_retried_is_gone_from_its_queue(broker: Broker, listen: Listen) -> None:
    """Once it is safe where it waits it is settled: it does not come back from a close as well."""
    inbox = listen('work', prefetch=10)
    for number in range(5):
        broker.publish(event(b'%d' % number))
    for message in inbox.take(5):
        inbox.retry(message, 0.5)
    inbox.side.stop()
    inbox.side.close()
    broker.publish(event(b'marker'))
    again = listen('work').take(6)
    assert again[0].body == b'marker'
    assert sorted(message.body for message in again[1:]) == [b'%d' % number for number in range(5)]
    assert [message.redelivered for message in again] == [False] * 6


def test_a_delayed_event_is_published_when_it_is_due(broker: Broker, listen: Listen) -> None:
    """To its exchange, with its routing key: all who listen by then get a copy."""
    one, two = listen('one', routing_key='order.*'), listen('two', routing_key='#')
    began = time.monotonic()
    broker.publish(event(b'late', 'order.due', mandatory=False)._replace(delay_s=0.5))
    broker.publish(event(b'soon', 'order.due', mandatory=False)._replace(delay_s=0.1))
    for inbox in (one, two):
        messages = inbox.take(2)
        assert [message.body for message in messages] == [b'soon', b'late']
        names = {(message.exchange, message.routing_key) for message in messages}
        assert names == {(EVENTS.name, 'order.due')}
    assert time.monotonic() - began >= 0.5


def test_unheard_delayed_events_hold_no_others_up(broker: Broker, listen: Listen) -> None:
    """Those that nobody listens to are dropped when they are due; those behind them are not."""
    inbox = listen('work', routing_key='heard')
    for number in range(100):
        broker.publish(event(b'%d' % number, 'unheard', mandatory=False)._replace(delay_s=0.1))
    broker.publish(event(b'heard', 'heard', mandatory=False)._replace(delay_s=0.1))
    assert inbox.take_acked(1) == [b'heard']


def test_a_delayed_event_can_be_retried(broker: Broker, listen: Listen) -> None:
    """What its first delay left in its headers does not have it dropped in the next."""
    inbox = listen('work')
    broker.publish(event(b'1', mandatory=False)._replace(delay_s=0.1))
    for _ in range(2):
        message: Any = inbox.next()
        assert (message.exchange, message.routing_key) == (EVENTS.name, 'order')
        inbox.retry(message, 0.1)
    assert inbox.take_acked(1) == [b'1']
