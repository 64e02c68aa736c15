"""DeadQueue: walks a dead queue on a connection of its own, and moves letters without losing one."""

from __future__ import annotations

import struct
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from amqp.exceptions import AMQPError, FrameSyntaxError, NotFound

from greenmicro.cli.connection import ANSWER_TIMEOUT_S, DeadQueueError, connect, message_of
from greenmicro.cli.letters import Letter
from greenmicro.cli.unsettled import Unsettled
from greenmicro.messages import Publication
from greenmicro.tls import TLS

#: After so long without a delivery it is asked whether there is anything left.
IDLE_S = 1.0
#: What the first consumer may have unsettled, which bounds what is on its way to us. A walk that holds as
#: much gets one more consumer, for as much again: the limit of one cannot be raised.
WINDOW = 500
MOST_AT_ONCE = 65_535  # AMQP carries a prefetch in 16 bits
#: So many publishes may wait for their confirm: one at a time would cost a round trip each.
FLIGHTS = 100
#: A quorum queue drops what was given back too often (RabbitMQ 4: 20 times), and a listing gives all
#: back. From this count on a letter is sent to the end of its queue instead, which sets the count back.
GIVEN_BACK_MOST = 5
#: So many letters are done before they are acked; a kill leaves these, and those in flight, in two queues.
ACKS = 20
NACK = (60, 120)  # which amqp cannot send; its arguments are a tag and bits
REQUEUE = 0b10
#: How long is waited, in seconds, until what was kept is back; if others consume too, it never seems so.
BACK_TIMEOUT_S = 2.0
BACK_POLL_S = 0.01


class Flight(NamedTuple):
    """A publish that waits for its confirm.

    Attributes:
        tag: Of the letter that is acked then.
        publication: What was sent.
        counted: Whether it is one that was asked for.
    """

    tag: int
    publication: Publication
    counted: bool


class DeadQueue:
    """The letters of one queue, each of which is dropped, requeued or kept.

    What is neither dropped nor requeued goes back to its place when the walk is finished, and so does
    everything if this process is killed at any moment. (A quorum queue puts it before what nobody had yet,
    but behind what it had back before: its order may change when it is looked at in part.)

    Args:
        name: The queue's name.
        channel: A channel for this alone.

    Attributes:
        moved: How many letters were dropped, or requeued and confirmed.
        stayed: How many could not be requeued, by the reason.
    """

    def __init__(self, name: str, channel: Any) -> None:
        self.name = name
        self.moved = 0
        self.stayed: Counter[str] = Counter()
        self._channel = channel
        self._consumers: list[str] = []
        self._arrived: deque[Any] = deque()
        self._room = 0  # what all consumers together may have unsettled
        self._unsettled = Unsettled()
        self._acked = False
        self._sent = 0
        self._flights: dict[int, Flight] = {}
        self._returned: set[int] = set()
        self._gone: set[str] = set()  # queues that are not there

    def start(self) -> None:
        """Hear what becomes of publishes; before all else."""
        self._channel.confirm_select()
        events = self._channel.events
        events['basic_ack'].add(lambda number, multiple: self._land(number, multiple, True))
        events['basic_nack'].add(lambda number, multiple: self._land(number, multiple, False))
        events['basic_return'].add(self._note_return)

    def count(self) -> int:
        """Return how many letters are ready in it now."""
        return int(self._channel.queue_declare(self.name, passive=True).message_count)

    def letters(self, most: int | None = None) -> Iterator[Letter]:
        """Yield those that are in it now, oldest first; none twice, and none that comes meanwhile.

        Args:
            most: Yield no more than so many.
        """
        there = self.count()
        wanted = there if most is None else min(most, there)
        for number in range(wanted):
            letter = self._next(wanted - number)
            if letter is None:  # somebody else has taken the rest
                return
            yield letter

    def drop(self, letter: Letter) -> None:
        """Have the broker forget a letter."""
        self.moved += 1
        self._done(letter.tag)

    def requeue(self, letter: Letter) -> None:
        """Publish a letter to its work queue; it is acked here once the broker has confirmed that."""
        publication = letter.back()
        if letter.unreadable:
            self._stay('its properties were unreadable, so that it has nothing to go back to')
        elif publication.routing_key in self._gone:
            self._stay(_no_queue(publication.routing_key))
        else:
            self._publish(letter.tag, publication, counted=True)

    def keep(self, letter: Letter) -> None:
        """Leave a letter where it is."""
        if letter.given_back >= GIVEN_BACK_MOST:
            self._publish(letter.tag, letter.renewed(), counted=False)
        else:
            self._unsettled.keep()

    def finish(self) -> None:
        """Wait for what is on its way, and give back what was kept, in its order."""
        for consumer in self._consumers:
            self._channel.basic_cancel(consumer)  # first: what is given back would come straight back
        while self._arrived:
            self.keep(self._letter(self._arrived.popleft()))
        self._wait_for_flights(0)
        self._send_acks()
        if self._unsettled and self._acked:
            # What the broker has stowed away it carries out in order: once this is back, all acks are done.
            # The first one: a quorum queue delivers what it has back in the order in which it came back.
            first, there = self._unsettled.first, self.count()
            self._channel.send_method(NACK, 'Lo', (first, REQUEUE))
            self._unsettled.drop(first)
            self._wait_until_ready(there + 1)
        if self._unsettled:
            self._give_back()

    def _give_back(self) -> None:
        # By closing the channel: a quorum queue without a limit of deliveries (until RabbitMQ 4) puts what is
        # nacked to its end, but what a lost channel held before what nobody had yet.
        there = self.count() + len(self._unsettled)
        connection = self._channel.connection
        self._channel.close()
        self._channel = connection.channel()
        self._wait_until_ready(there)

    def _wait_until_ready(self, count: int) -> None:
        deadline = time.monotonic() + BACK_TIMEOUT_S
        while self.count() < count and time.monotonic() < deadline:
            time.sleep(BACK_POLL_S)

    def _next(self, left: int) -> Letter | None:
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        idle = 0
        while not self._arrived:
            if len(self._unsettled) >= self._room:
                self._send_acks()
            if len(self._unsettled) >= self._room:
                self._consume(min(left, max(WINDOW, self._room), MOST_AT_ONCE))
            elif not self._read(IDLE_S):
                # Twice, for what was not ready any more may have been on its way to us.
                idle = idle + 1 if not self.count() else 0
                if idle > 1:
                    return None
                if time.monotonic() > deadline:
                    raise DeadQueueError(
                        f'the broker delivers nothing of {self.name}, though there is something; does '
                        'somebody consume from it alone? Stop that, then try again'
                    )
        return self._letter(self._arrived.popleft())

    def _consume(self, prefetch: int) -> None:
        self._room += prefetch
        self._channel.basic_qos(0, prefetch, False)
        # When a channel is closed, a quorum queue takes back what it held in the order of these names.
        tag = f'walk-{len(self._consumers):02}'
        self._consumers.append(self._channel.basic_consume(self.name, tag, callback=self._arrive))

    def _arrive(self, message: Any) -> None:
        self._unsettled.add(message.delivery_tag)
        self._arrived.append(message)

    def _letter(self, message: Any) -> Letter:
        properties = dict(message.properties)
        headers = properties.pop('application_headers', None) or {}
        return Letter(self.name, message.body, properties, headers, message.delivery_tag)

    def _done(self, tag: int) -> None:
        self._unsettled.done(tag)
        if self._unsettled.unsent >= ACKS:
            self._send_acks()

    def _send_acks(self) -> None:
        for tag, multiple in self._unsettled.acks():
            self._channel.basic_ack(tag, multiple)
            self._acked = True

    def _stay(self, why: str, counted: bool = True) -> None:
        self._unsettled.keep()
        self.stayed[why] += counted

    def _publish(self, tag: int, publication: Publication, counted: bool) -> None:
        self._wait_for_flights(FLIGHTS - 1)
        try:
            message = message_of(publication, self._channel.connection.frame_max)
            self._channel.basic_publish(message, '', publication.routing_key, mandatory=True)
        except (FrameSyntaxError, ValueError, TypeError, OverflowError, RecursionError, struct.error):
            # What can be read cannot always be written: headers that grow over a frame. Nothing was sent.
            self._stay('it has headers that AMQP can carry to us but not from us', counted)
        else:
            self._sent += 1
            self._flights[self._sent] = Flight(tag, publication, counted)

    def _wait_for_flights(self, most: int) -> None:
        while len(self._flights) > most:
            if not self._read(ANSWER_TIMEOUT_S):
                raise DeadQueueError(
                    f'the broker did not confirm within {ANSWER_TIMEOUT_S:g} s; does it accept no messages '
                    'for now (`rabbitmq-diagnostics alarms`)? Try again when it does'
                )

    def _land(self, number: int, multiple: bool, accepted: bool) -> None:
        """Ack the letters whose publishes are confirmed."""
        for one in [one for one in self._flights if one == number or (multiple and one < number)]:
            flight = self._flights.pop(one)
            if accepted and one not in self._returned:
                self.moved += flight.counted
                self._done(flight.tag)
            else:
                queue = flight.publication.routing_key
                refused = f'queue {queue!r} refuses it (is it full?)'
                self._stay(_no_queue(queue) if accepted else refused, flight.counted)

    def _note_return(self, error: Exception, exchange: str, queue: str, message: Any) -> None:
        """Note that a publish came back; its ack follows. Of two that are the same either one will do."""
        self._gone.add(queue)
        same = (queue, message.body, message.properties.get('message_id'))
        for number, (_, sent, _) in self._flights.items():
            is_it = same == (sent.routing_key, sent.body, sent.properties.get('message_id'))
            if is_it and number not in self._returned:
                self._returned.add(number)
                return

    def _read(self, timeout_s: float) -> bool:
        """Wait for something from the broker; return whether it came in time."""
        try:
            self._channel.connection.drain_events(timeout_s)
        except TimeoutError:
            return False
        return True


@contextmanager
def dead_queue(uri: str, name: str, tls: TLS | None = None) -> Iterator[DeadQueue]:
    """Connect, and have a queue walked in the block; at its end what was kept goes back.

    Raises:
        DeadQueueError: There is no broker, no such queue, or it refuses; within the block too, where so
            every OSError is taken for the broker's.
    """
    connection = None
    try:
        connection = connect(uri, tls)
        channel = connection.channel()
        channel.auto_decode = False
        queue = DeadQueue(name, channel)
        queue.start()
        yield queue
        queue.finish()
        connection.close()
    except NotFound as error:
        raise DeadQueueError(
            f'there is no queue {name!r} there: no letter was ever written to it, or it has another name '
            '(`rabbitmqctl list_queues name messages` knows them all)'
        ) from error
    except (AMQPError, OSError) as error:
        raise DeadQueueError(f'{error or type(error).__name__}; nothing was lost, try again') from error
    finally:
        if connection is not None:
            connection.collect()


def _no_queue(name: str) -> str:
    return f'there is no queue {name!r}; start the service that declares it, then try again'
