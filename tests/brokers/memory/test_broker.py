"""MemoryBroker, beside the contract: names, life, and how it shares the hub."""

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

from greenmicro.amqp.topology import Exchange, Queue
from greenmicro.errors import BrokerError, PublishError, RefusedError, UnroutableError
from greenmicro.messages import Message
from tests.brokers.sides import DEADLINE_S, EVENTS, Listen, NewSide, Side, bodies, event, to_queue

on_memory = pytest.mark.parametrize('uri', ['memory'], indirect=True)


@pytest.fixture
def sides() -> Iterator[list[Side]]:
    """Sides on URIs of the test's own choice, closed at its end."""
    made: list[Side] = []
    yield made
    for side in made:
        side.close()


# ---- Names


@pytest.mark.parametrize(
    ('first', 'second', 'shared'),
    [
        ('memory://', 'memory://', False),
        ('memory://shop', 'memory://', False),
        ('memory://shop', 'memory://bank', False),
        ('memory://shop', 'memory://shop', True),
        ('memory://shop/', 'memory://shop', True),
    ],
)
def test_services_share_a_broker_by_its_name(
    sides: list[Side], first: str, second: str, shared: bool
) -> None:
    """Brokers on `memory://` are alone; those that give one name share exchanges and queues."""
    one, two = Side(first), Side(second)
    sides += [one, two]
    inbox = one.subscribe('work', None)
    one.start_ready()
    two.start_ready()
    if shared:
        two.broker.publish(to_queue('work', b'1'))
        assert bodies(inbox, 1) == [b'1']
    else:
        with pytest.raises(UnroutableError):
            two.broker.publish(to_queue('work'))


@on_memory
def test_state_lives_as_long_as_somebody_is_there(new_side: NewSide, listen: Listen) -> None:
    """A queue outlives its service while another one is open, and goes with the last."""
    other = new_side().start_ready()
    listen('work').side.close()
    other.broker.publish(to_queue('work', b'kept'))
    inbox = listen('work')
    other.close()
    assert bodies(inbox, 1) == [b'kept']
    inbox.side.close()
    with pytest.raises(UnroutableError):
        new_side().start_ready().broker.publish(to_queue('work'))


@on_memory
def test_publish_before_the_start_is_an_error(new_side: NewSide) -> None:
    """Without a start there is no broker to publish to."""
    with pytest.raises(PublishError, match='not started'):
        new_side().broker.publish(event())


@on_memory
@pytest.mark.parametrize(
    ('queue', 'exchange', 'named'),
    [
        (Queue('work', arguments={'x-message-ttl': -1}), EVENTS, 'x-message-ttl'),
        (Queue('work', arguments={'x-max-length': '7'}), EVENTS, 'x-max-length'),
        (Queue('work', arguments={'x-overflow': 'spill'}), EVENTS, 'x-overflow'),
        (Queue('work'), Exchange('shop', 'headers'), 'headers'),
    ],
    ids=['ttl', 'length', 'overflow', 'kind'],
)
def test_arguments_without_sense_are_fatal(
    new_side: NewSide, queue: Queue, exchange: Exchange, named: str
) -> None:
    """An argument that RabbitMQ would refuse is refused here, and named."""
    side = new_side()
    side.subscribe(queue, exchange)
    side.start()
    error = side.fatal.get(timeout=DEADLINE_S)
    assert isinstance(error, BrokerError)
    assert named in str(error)


@on_memory
def test_auto_delete_goes_with_the_last_consumer(listen: Listen, new_side: NewSide) -> None:
    """An auto-delete queue is gone after the stop, and its auto-delete exchange with it."""
    publisher = new_side().start_ready().broker
    inbox = listen(Queue('brief', auto_delete=True), Exchange('brief', auto_delete=True))
    publisher.publish(event(exchange='brief'))
    inbox.side.stop()
    with pytest.raises(UnroutableError):
        publisher.publish(to_queue('brief'))
    with pytest.raises(PublishError, match='no exchange'):
        publisher.publish(event(exchange='brief'))


@on_memory
def test_exclusive_queue_is_one_services(listen: Listen, new_side: NewSide) -> None:
    """A second service is refused an exclusive queue."""
    listen(Queue('mine', exclusive=True))
    side = new_side()
    side.subscribe(Queue('mine', exclusive=True))
    side.start()
    assert 'exclusive' in str(side.fatal.get(timeout=DEADLINE_S))


# ---- Settling


@on_memory
def test_given_back_waits_for_the_stop(listen: Listen) -> None:
    """Given back before the stop a message does not come straight back; it goes to others at the stop."""
    inbox = listen('work', prefetch=2)
    publisher = inbox.side.broker
    publisher.publish(event(b'1'))
    inbox.give_back(inbox.next())
    publisher.publish(event(b'2'))
    assert bodies(inbox, 1) == [b'2']
    other = listen('work')
    inbox.side.stop()
    message = other.next()
    assert (message.body, message.redelivered) == (b'1', True)


@on_memory
def test_unsettled_at_close_comes_again_in_its_order(listen: Listen) -> None:
    """In its old place, before what was never delivered."""
    first = listen('work', prefetch=2)
    for number in range(4):
        first.side.broker.publish(event(b'%d' % number))
    first.take(2)
    keeper = listen('other')
    first.side.close()
    again = listen('work').take(4)
    assert [message.body for message in again] == [b'0', b'1', b'2', b'3']
    assert [message.redelivered for message in again] == [True, True, False, False]
    assert not len(keeper)


@on_memory
def test_first_settlement_holds_while_it_waits(listen: Listen) -> None:
    """A message whose dead letter cannot be written yet is not acked by a second settlement."""
    full = Queue('work.dead', arguments={'x-max-length': 0, 'x-overflow': 'reject-publish'})
    keeper = listen(full, None)
    keeper.side.stop()
    inbox = listen('work')
    inbox.side.broker.publish(event(b'1'))
    message = inbox.next()
    inbox.dead_letter(message)
    inbox.ack(message)
    inbox.side.close()
    again = listen('work').next()
    assert (again.body, again.redelivered) == (b'1', True)


@on_memory
def test_prefetch_of_zero_is_no_limit(listen: Listen) -> None:
    """As in AMQP, a prefetch of 0 lets everything in."""
    inbox = listen('work', prefetch=0)
    for number in range(500):
        inbox.side.broker.publish(event(b'%d' % number))
    assert len(bodies(inbox, 500)) == 500


@on_memory
def test_expiration_has_to_be_milliseconds(listen: Listen) -> None:
    """An expiration that is no number is refused, as RabbitMQ does."""
    inbox = listen('work')
    with pytest.raises(RefusedError, match='expiration'):
        inbox.side.broker.publish(event(expiration='soon'))


# ---- The hub


@on_memory
def test_receives_outside_of_publish(new_side: NewSide) -> None:
    """Who receives runs neither in the publisher's greenlet nor in the hub, also when it publishes itself."""
    side = new_side()
    seen: list[Any] = []
    full = Event()

    def receive(message: Message) -> None:
        seen.append(gevent.getcurrent())
        inbox.ack(message)
        if len(seen) < 2_000:
            gevent.spawn(side.broker.publish, event())
        else:
            full.set()

    inbox = side.subscribe('work', receive=receive)
    side.start_ready()
    side.broker.publish(event())
    assert full.wait(DEADLINE_S)
    assert gevent.getcurrent() not in seen
    assert gevent.get_hub() not in seen
    assert len(set(seen)) == 1


@on_memory
def test_queues_are_served_in_turn(new_side: NewSide, listen: Listen) -> None:
    """A backlog in one queue does not hold up the message of another."""
    publisher = new_side().start_ready().broker
    listen('large', None).side.close()
    listen('small', None).side.close()
    for number in range(1_000):
        publisher.publish(to_queue('large', b'%d' % number))
    publisher.publish(to_queue('small'))
    side = new_side()
    order: list[str] = []
    done = Event()

    def receive(message: Message) -> None:
        order.append(message.queue)
        if len(order) == 1_001:
            done.set()

    for queue in ('large', 'small'):
        side.subscribe(queue, None, prefetch=0, receive=receive)
    side.start_ready()
    assert done.wait(DEADLINE_S)
    assert order.index('small') <= 1


@on_memory
def test_timers_go_on_under_load(new_side: NewSide, listen: Listen) -> None:
    """While a backlog is delivered to a slow receiver, timers fire; gevent's sleep(0) alone starves them."""
    publisher = new_side().start_ready().broker
    listen('work', None).side.close()
    for _ in range(400):
        publisher.publish(to_queue('work'))
    side = new_side()
    done = Event()
    left = [400]

    def receive(message: Message) -> None:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        left[0] -= 1
        if not left[0]:
            done.set()

    side.subscribe('work', None, prefetch=0, receive=receive)
    side.start_ready()
    ticks = 0
    while not done.wait(0.001):
        ticks += 1
    assert ticks > 50  # about 200; with sleep(0) in its place 8


@on_memory
def test_receiver_that_raises_does_not_end_delivery(new_side: NewSide, capfd: Any) -> None:
    """An error where none is allowed is printed, and what comes after it is still delivered."""
    side = new_side()

    def receive(message: Message) -> None:
        if message.body == b'0':
            raise RuntimeError('not allowed')
        inbox.line.put_nowait(message)

    inbox = side.subscribe('work', receive=receive)
    side.start_ready()
    for number in range(3):
        side.broker.publish(event(b'%d' % number))
    assert bodies(inbox, 2) == [b'1', b'2']
    assert 'not allowed' in capfd.readouterr().err


IDLE_SERVICE = """
import signal
import gevent.monkey
gevent.monkey.patch_all()
from gevent.event import Event
from tests.brokers.sides import Side

side = Side('memory://')
side.subscribe('work')
side.start_ready()
ended = Event()
signal.signal(signal.SIGALRM, lambda *ignored: ended.set())
signal.setitimer(signal.ITIMER_REAL, 0.2)
ended.wait()
side.close()
print('ended')
"""


def test_idle_service_is_no_deadlock() -> None:
    """A service that only waits for its stop is not ended by gevent as one that waits for ever."""
    done = subprocess.run(
        [sys.executable, '-c', IDLE_SERVICE], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, 'ended\n'), done.stderr
