"""Flights: the publishes in flight on one channel, each landed by the broker's answer to itself."""

from __future__ import annotations

from itertools import takewhile

from amqp.exceptions import ChannelError
from gevent.event import AsyncResult

from greenmicro.errors import RefusedError, UnroutableError
from greenmicro.messages import Publication


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
        landed: Resolved with None when it is safe, else with the error.
    """

    __slots__ = ('landed', 'publication', 'returned')

    def __init__(self, publication: Publication) -> None:
        self.publication = publication
        self.returned = ''
        self.landed: AsyncResult[None] = AsyncResult()


class Flights:
    """What is in flight on one channel in confirm mode.

    amqp's own confirm mode takes any ack for its own: of 10 greenlets on one channel 4 failed, and a late
    ack confirmed a message that the broker had refused.

    Attributes:
        bytes: How large their bodies are, together.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._tag = 0
        self._by_tag: dict[int, Flight] = {}  # in the order of their tags

    def __len__(self) -> int:
        return len(self._by_tag)

    def add(self, publication: Publication) -> Flight:
        """Take note of a publish, right before it is written: the broker counts them as they come."""
        self._tag += 1
        flight = self._by_tag[self._tag] = Flight(publication)
        self.bytes += len(publication.body)
        return flight

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
            flight.landed.set_exception(LostError(error, len(flights)))

    def _land(self, tag: int, accepted: bool) -> None:
        flight = self._by_tag.pop(tag, None)
        if flight is None:
            return
        self.bytes -= len(flight.publication.body)
        if not accepted:
            flight.landed.set_exception(NackedError('the broker refused the message; is its queue full?'))
        elif flight.returned:
            flight.landed.set_exception(UnroutableError(f'no queue takes the message ({flight.returned})'))
        else:
            flight.landed.set(None)
