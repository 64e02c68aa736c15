"""Flights: the publishes in flight on one channel, each landed by the broker's answer to itself."""

from __future__ import annotations

from itertools import takewhile
from time import monotonic
from typing import Any

from amqp.exceptions import ChannelError
from gevent import sleep
from gevent.hub import Waiter, get_hub

from greenmicro.errors import RefusedError, UnroutableError
from greenmicro.messages import Publication

#: How often to look for flights whose deadline is over.
LOOK_S = 0.02


class LostError(Exception):
    """The channel was lost before the broker's answer; the message may have arrived.

    Args:
        error: What it was lost by.
        count: How many were in flight.
    """

    def __init__(self, error: Exception, count: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.count = count

    @property
    def by_message(self) -> bool:
        """Whether the broker closed the channel because of a message that was in flight."""
        return isinstance(self.error, ChannelError)


class NackedError(RefusedError):
    """The broker did not take the message; a moment later it may."""


class Flight:
    """One message on its way to the broker.

    Attributes:
        publication: The message.
        returned: Why the broker returned it; its ack follows.
        landed: Whether the broker has answered, or was lost before it did.
        error: What came of it then; None when it is safe.
        deadline: Until when it is waited for, by the monotonic clock.
        waiter: Who waits for it.
    """

    __slots__ = ('deadline', 'error', 'landed', 'publication', 'returned', 'waiter')

    def __init__(self, publication: Publication) -> None:
        self.publication = publication
        self.returned = ''
        self.landed = False
        self.error: Exception | None = None
        self.deadline = 0.0
        self.waiter: Any = None

    def land(self, error: Exception | None = None) -> None:
        """Tell who waits for it what came of it."""
        self.landed = True
        self.error = error
        self.wake()

    def wake(self) -> None:
        """Have who waits for it go on."""
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter.hub.loop.run_callback(waiter.switch, None)


class Flights:
    """What is in flight on one channel in confirm mode.

    amqp's own confirm mode takes any ack for its own: of 10 greenlets on one channel 4 failed, and a late
    ack confirmed a message that the broker had refused.

    A wait with a time-out of its own costs 5.9 us, one without 1.1. So all of them share one timer, which
    looks for those whose time is over as long as there are any: they end up to LOOK_S too late.

    Attributes:
        bytes: How large their bodies are, together.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._tag = 0
        self._by_tag: dict[int, Flight] = {}  # in the order of their tags
        self._hub = get_hub()
        self._timer: Any = None

    def __len__(self) -> int:
        return len(self._by_tag)

    def add(self, publication: Publication) -> Flight:
        """Take note of a publish, right before it is written: the broker counts them as they come."""
        self._tag += 1
        flight = self._by_tag[self._tag] = Flight(publication)
        self.bytes += len(publication.body)
        return flight

    def wait(self, flight: Flight, deadline: float) -> None:
        """Return when it has landed, or its deadline is over; one greenlet waits for each."""
        if flight.landed:
            return
        hub = get_hub()
        if hub is not self._hub:  # a thread of the hub's pool, where targets may do what would block it
            while not flight.landed and monotonic() < deadline:
                sleep(LOOK_S)
            return
        if self._timer is None:
            self._timer = hub.loop.timer(LOOK_S, LOOK_S)
            self._timer.start(self._look)
        flight.deadline = deadline
        waiter: Any = Waiter(hub)
        flight.waiter = waiter
        try:
            waiter.get()
        finally:
            flight.waiter = None

    def _look(self) -> None:
        now = monotonic()
        waited_for = False
        for flight in self._by_tag.values():
            if flight.waiter is not None:
                waited_for = True
                if flight.deadline <= now:
                    flight.wake()
        if not waited_for:
            timer, self._timer = self._timer, None
            timer.close()

    def confirm(self, tag: int, multiple: bool, accepted: bool) -> None:
        """Land one flight, or all up to a tag; one that nobody waits for any more lands unseen."""
        if multiple:
            for earlier in list(takewhile(tag.__gt__, self._by_tag)):
                self._land(earlier, accepted)
        self._land(tag, accepted)

    def bounce(self, why: str, names: tuple[str, str], message_id: str | None) -> None:
        """Note why a message came back; its ack follows, by which it lands.

        A return has no tag. Of several messages that are alike in all that it has, it is that of the
        oldest one: it makes no difference, as none of them is taken.
        """
        for flight in self._by_tag.values():
            publication = flight.publication
            if (
                publication.mandatory
                and not flight.returned
                and publication.properties.get('message_id') == message_id
                and (publication.exchange, publication.routing_key) == names
            ):
                flight.returned = why
                return

    def lose(self, error: Exception) -> None:
        """Tell all that are in flight that the channel is lost."""
        flights, self._by_tag, self.bytes = self._by_tag, {}, 0
        for flight in flights.values():
            flight.land(LostError(error, len(flights)))

    def _land(self, tag: int, accepted: bool) -> None:
        flight = self._by_tag.pop(tag, None)
        if flight is None:
            return
        self.bytes -= len(flight.publication.body)
        if not accepted:
            flight.land(NackedError('the broker refused the message; is its queue full?'))
        elif flight.returned:
            flight.land(UnroutableError(f'no queue takes the message ({flight.returned})'))
        else:
            flight.land()
