"""Flights: each answer lands the flight that it is for, and no other."""

from time import monotonic
from typing import Any

import gevent
import pytest
from amqp.exceptions import NotFound, PreconditionFailed
from gevent.hub import get_hub
from hypothesis import given
from hypothesis import strategies as st

from greenmicro.brokers.rabbitmq.confirms import LOOK_S, Flight, Flights, LostError, NackedError
from greenmicro.errors import UnroutableError
from greenmicro.messages import Publication


def publication(routing_key: str = 'k', message_id: str | None = 'm', mandatory: bool = True) -> Publication:
    properties = {} if message_id is None else {'message_id': message_id}
    return Publication('e', routing_key, b'', properties, {}, mandatory)


def result(flight: Flight) -> Any:
    """How a flight landed: None, its error's class, or 'flying'."""
    if not flight.landed:
        return 'flying'
    return None if flight.error is None else type(flight.error)


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
        error = flight.error
        assert isinstance(error, LostError)
        assert error.by_message
        assert error.count == 2
    assert len(flights) == 0
    third = flights.add(publication())
    flights.lose(NotFound('no exchange'))
    assert isinstance(third.error, LostError)
    assert third.error.count == 1


def test_a_wait_ends_with_the_landing() -> None:
    """At once where it has landed already; and each with its own."""
    flights = Flights()
    flying = [flights.add(publication()) for _ in range(3)]
    waits = [gevent.spawn(flights.wait, flight, monotonic() + 60) for flight in flying]
    gevent.idle()
    flights.confirm(2, multiple=False, accepted=True)
    gevent.joinall(waits[1:2], timeout=10)
    assert [wait.ready() for wait in waits] == [False, True, False]
    flights.lose(OSError('gone'))
    gevent.joinall(waits, timeout=10, raise_error=True)
    assert all(wait.ready() for wait in waits)
    flights.wait(flying[0], monotonic() + 60)


def test_a_wait_ends_with_its_deadline() -> None:
    """Whatever others there are; it lands unseen then, and nothing is left that wakes the loop."""
    flights = Flights()
    flights.add(publication())
    late, other = flights.add(publication()), flights.add(publication())
    waiting = gevent.spawn(flights.wait, other, monotonic() + 60)
    for limit_s in (0.0, 0.05):
        deadline = monotonic() + limit_s
        flights.wait(late, deadline)
        assert monotonic() >= deadline
        assert not late.landed
    assert not waiting.ready()
    flights.confirm(3, multiple=True, accepted=True)
    waiting.get(timeout=10)
    assert late.landed
    gevent.sleep(2 * LOOK_S)
    assert flights._timer is None


def test_a_killed_wait_wakes_nobody() -> None:
    """Nor does one that ended by an exception that was thrown in: what lands later finds nobody."""
    flights = Flights()
    flight = flights.add(publication())
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        flights.wait(flight, monotonic() + 60)
    killed = gevent.spawn(flights.wait, flight, monotonic() + 60)
    gevent.idle()
    killed.kill()
    flights.confirm(1, multiple=False, accepted=True)
    gevent.idle()
    assert result(flight) is None


def test_a_thread_of_the_hub_waits_as_well() -> None:
    """Where a target does in a thread what would block the hub, it may publish there."""
    flights = Flights()
    landing, late = flights.add(publication()), flights.add(publication())
    waits = [
        get_hub().threadpool.spawn(flights.wait, flight, monotonic() + limit_s)
        for flight, limit_s in ((landing, 60), (late, 0.01))
    ]
    waits[1].get(timeout=10)
    assert not late.landed
    flights.confirm(1, multiple=False, accepted=True)
    waits[0].get(timeout=10)
