"""Flights: each answer lands the flight that it is for, and no other."""

from typing import Any

import pytest
from amqp.exceptions import NotFound, PreconditionFailed
from hypothesis import given
from hypothesis import strategies as st

from greenmicro.brokers.rabbitmq.confirms import Flight, Flights, LostError, NackedError
from greenmicro.errors import UnroutableError
from greenmicro.messages import Publication


def publication(routing_key: str = 'k', message_id: str | None = 'm', mandatory: bool = True) -> Publication:
    properties = {} if message_id is None else {'message_id': message_id}
    return Publication('e', routing_key, b'', properties, {}, mandatory)


def result(flight: Flight) -> Any:
    """How a flight landed: None, its error's class, or 'flying'."""
    if not flight.landed.ready():
        return 'flying'
    error = flight.landed.exception
    return None if error is None else type(error)


def test_a_confirm_lands_its_own_tag() -> None:
    flights = Flights()
    first, second, third = (flights.add(publication()) for _ in range(3))
    flights.confirm(2, multiple=False, accepted=True)
    flights.confirm(3, multiple=False, accepted=False)
    assert [result(flight) for flight in (first, second, third)] == ['flying', None, NackedError]


def test_a_late_confirm_lands_nobody_else() -> None:
    """One that was landed before, or that is unknown, is let be."""
    flights = Flights()
    flights.add(publication())
    flights.confirm(1, multiple=False, accepted=True)
    second = flights.add(publication())
    flights.confirm(1, multiple=False, accepted=True)
    flights.confirm(99, multiple=False, accepted=True)
    assert result(second) == 'flying'


@given(st.lists(st.tuples(st.integers(1, 20), st.booleans(), st.booleans()), max_size=30))
def test_confirms_in_any_order(confirms: list[tuple[int, bool, bool]]) -> None:
    """Each tag has the first answer that covers it."""
    flights = Flights()
    flying = {tag: flights.add(publication()) for tag in range(1, 21)}
    wanted: dict[int, Any] = dict.fromkeys(flying, 'flying')
    for tag, multiple, accepted in confirms:
        flights.confirm(tag, multiple, accepted)
        for covered in range(1, tag + 1) if multiple else [tag]:
            if wanted[covered] == 'flying':
                wanted[covered] = None if accepted else NackedError
    assert {tag: result(flight) for tag, flight in flying.items()} == wanted
    assert len(flights) == list(wanted.values()).count('flying')


def test_a_returned_message_is_unroutable_once_it_is_acked() -> None:
    flights = Flights()
    flight = flights.add(publication())
    flights.bounce('312 NO_ROUTE', ('e', 'k'), 'm')
    assert result(flight) == 'flying'
    flights.confirm(1, multiple=False, accepted=True)
    assert result(flight) is UnroutableError


@pytest.mark.parametrize('message_id', ['m', None])
def test_a_return_meets_its_own_flight(message_id: str | None) -> None:
    """Two of one id are told apart by where they went; what is not mandatory never comes back."""
    flights = Flights()
    loose = flights.add(publication('nobody', message_id, mandatory=False))
    heard = flights.add(publication('somebody', message_id))
    unheard = flights.add(publication('nobody', message_id))
    flights.bounce('312 NO_ROUTE', ('e', 'nobody'), message_id)
    flights.confirm(3, multiple=True, accepted=True)
    assert [result(flight) for flight in (loose, heard, unheard)] == [None, None, UnroutableError]


def test_two_alike_come_back_both() -> None:
    flights = Flights()
    both = [flights.add(publication()) for _ in range(2)]
    for _ in both:
        flights.bounce('312 NO_ROUTE', ('e', 'k'), 'm')
    flights.confirm(2, multiple=True, accepted=True)
    assert [result(flight) for flight in both] == [UnroutableError, UnroutableError]


def test_a_lost_channel_is_told_to_all_in_flight() -> None:
    """With what it was lost by, and whether there was one suspect only."""
    flights = Flights()
    first, second = flights.add(publication()), flights.add(publication())
    flights.lose(PreconditionFailed('too large'))
    for flight in (first, second):
        error = flight.landed.exception
        assert isinstance(error, LostError)
        assert error.by_message
        assert error.count == 2
    assert len(flights) == 0
    third = flights.add(publication())
    flights.lose(NotFound('no exchange'))
    assert isinstance(third.landed.exception, LostError)
    assert third.landed.exception.count == 1
