"""Window: so many publishes in flight and no more, the others in line, one let in at a time."""

import gevent
import pytest

from greenmicro.brokers.rabbitmq import window as module
from greenmicro.brokers.rabbitmq.window import Window
from greenmicro.messages import Publication

SMALL = Publication('e', 'k', b'')


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Window:
    """With room for three."""
    monkeypatch.setattr(module, 'WINDOW', 3)
    return Window()


def fly(window: Window, landed: list[int], number: int) -> None:
    """Wait for room, then fly, and let the next one in: as the publisher does."""
    try:
        while not window.open:
            assert window.wait(10, 0)
        window.flights.add(SMALL)
        landed.append(number)
    finally:
        window.let_in()


def land(window: Window, tag: int) -> None:
    window.flights.confirm(tag, multiple=False, accepted=True)
    window.let_in()
    gevent.idle()


def test_as_many_as_there_is_room_in_the_order_they_came(window: Window) -> None:
    flown: list[int] = []
    flying = [gevent.spawn(fly, window, flown, number) for number in range(10)]
    gevent.idle()
    assert flown == [0, 1, 2]
    land(window, 2)
    assert flown == [0, 1, 2, 3]
    window.flights.confirm(4, multiple=True, accepted=True)
    window.let_in()
    gevent.joinall(flying[:7], raise_error=True)
    assert flown == [0, 1, 2, 3, 4, 5, 6]
    window.flights.lose(OSError('gone'))
    window.let_in()
    gevent.joinall(flying, raise_error=True)
    assert flown == list(range(10))


def test_large_bodies_fill_it_sooner(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    """One may go over the limit of bytes, or it could never be sent."""
    monkeypatch.setattr(module, 'WINDOW_BYTES', 100)
    window.flights.add(Publication('e', 'k', bytes(99)))
    assert window.open
    window.flights.add(Publication('e', 'k', bytes(1000)))
    assert not window.open
    window.flights.confirm(2, multiple=False, accepted=False)
    assert window.open


def test_with_a_suspect_each_flies_alone(window: Window) -> None:
    flown: list[int] = []
    window.suspect(1, instead_of=0)
    flying = [gevent.spawn(fly, window, flown, number) for number in range(3)]
    gevent.idle()
    assert flown == [0]
    land(window, 1)
    assert flown == [0, 1]
    window.suspect(0, instead_of=1)
    window.let_in()
    gevent.joinall(flying, raise_error=True)
    assert flown == [0, 1, 2]


def test_one_that_gives_up_holds_nobody_up(window: Window) -> None:
    """In line it is skipped; let in, it lets in the next one."""
    flown: list[int] = []
    flying = [gevent.spawn(fly, window, flown, number) for number in range(4)]
    gevent.idle()

    def give_up() -> None:
        assert window.wait(10, 0)
        window.let_in()

    flying += [gevent.spawn(give_up), gevent.spawn(fly, window, flown, 5)]
    gevent.idle()
    flying[3].kill()
    land(window, 1)
    gevent.joinall(flying[4:], raise_error=True)
    assert flown == [0, 1, 2, 5]
    assert not window.wait(0, 0)


def test_all_are_woken_when_there_is_nothing_to_wait_for(window: Window) -> None:
    window.suspect(1, instead_of=0)
    window.flights.add(SMALL)
    waiting = [gevent.spawn(window.wait, 10, 0) for _ in range(5)]
    gevent.idle()
    window.let_all_in()
    gevent.joinall(waiting, timeout=10)
    assert [greenlet.value for greenlet in waiting] == [True] * 5


def test_those_of_the_smallest_group_go_first(window: Window) -> None:
    """Nobody flies in a larger one, so all others wait for them."""
    flown: list[int] = []

    def fly_in(group: int, number: int) -> None:
        while not window.open:
            assert window.wait(10, group)
        window.flights.add(SMALL)
        flown.append(number)

    for group in (2, 1):
        window.suspect(group, instead_of=0)
    window.flights.add(SMALL)
    flying = [gevent.spawn(fly_in, group, number) for number, group in enumerate((0, 2, 1))]
    gevent.idle()
    assert flown == []
    land(window, 1)
    assert flown == [2]
    window.suspect(0, instead_of=1)
    window.let_in()
    gevent.idle()
    assert flown == [2, 1]
    window.suspect(0, instead_of=2)
    window.let_in()
    gevent.joinall(flying, raise_error=True)
    assert flown == [2, 1, 0]
