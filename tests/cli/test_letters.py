"""Letter: what it says of itself, and how it goes back."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from greenmicro.cli.letters import Letter, dead_queue_of
from tests.cli.letters import DEAD, WORK, letter_of


def letter(**message: Any) -> Letter:
    """A letter of ours, as it is read from its queue."""
    made = letter_of(1, **message)
    return Letter(made.routing_key, made.body, made.properties, made.headers)


def test_what_a_letter_of_ours_says() -> None:
    """Why, how often, when, and where it goes back to."""
    one = letter()
    assert (one.reason, one.error, one.attempts) == ('target error', 'ValueError: no', 5)
    assert (one.message_id, one.origin, one.queue) == ('1', WORK, DEAD)
    assert one.traceback.startswith('Traceback')
    assert one.host
    assert one.time is not None
    assert abs((one.time - datetime.now(timezone.utc)).total_seconds()) < 60
    assert not one.unreadable


def test_how_it_goes_back() -> None:
    """As it was sent: without what we wrote on it, but for its names, and what tells it from before."""
    dead = letter(
        headers={'CC': ['elsewhere'], 'x-death': [{}], 'x-first-death-queue': 'x', 'greeting': 'hi'}
    )
    back = dead.back()
    assert (back.exchange, back.routing_key, back.mandatory) == ('', WORK, True)
    assert back.body == b'{"id": 1}'
    assert back.headers == {
        'tenant': 7,
        'greeting': 'hi',
        'greenmicro.origin_exchange': 'shop.events',
        'greenmicro.origin_routing_key': 'placed',
        'greenmicro.time': dead.headers['greenmicro.time'],
    }
    assert back.properties == {'message_id': '1', 'content_type': 'application/json', 'delivery_mode': 2}


def test_the_user_id_stays_behind() -> None:
    """The broker refuses one that is not the connection's own."""
    one = Letter(DEAD, b'', {'user_id': 'somebody', 'priority': 3}, {})
    assert one.back().properties == one.renewed().properties == {'priority': 3, 'delivery_mode': 2}


def test_how_it_goes_to_the_end_of_its_queue() -> None:
    """With all that is written on it, but for what the queue counts."""
    headers = {
        'x-delivery-count': 7,
        'CC': ['x'],
        'x-death': [],
        'greenmicro.reason': 'r',
        'a': 1,
        b'\xff': 2,
    }
    one = Letter(DEAD, b'', {}, headers)
    assert one.given_back == 7
    assert one.renewed().routing_key == DEAD
    assert one.renewed().headers == {'x-death': [], 'greenmicro.reason': 'r', 'a': 1, b'\xff': 2}


def test_a_letter_of_somebody_else() -> None:
    """It says what is known, and goes back to the queue that its own is named after."""
    one = Letter(DEAD, b'\xff', {}, {'x-first-death-reason': 'expired'})
    assert (one.reason, one.error, one.attempts, one.time, one.origin) == ('expired', '', None, None, WORK)
    assert one.summary()['message_id'] is None
    assert one.details()['body_base64'] == '/w=='


@pytest.mark.parametrize('value', [None, 'x', -(10**30), 10**30, True, [1], b'\xff', {}])
def test_headers_that_make_no_sense(value: Any) -> None:
    """Anyone can write them; what makes no sense is not told."""
    names = ('reason', 'error', 'traceback', 'host', 'time', 'attempt', 'origin_queue')
    one = Letter(
        DEAD, b'', {}, {**{f'greenmicro.{name}': value for name in names}, 'x-delivery-count': value}
    )
    assert one.origin in (WORK, 'x')
    json.dumps(one.details(), default=str)


@pytest.mark.parametrize('name', [WORK, DEAD])
def test_either_name_of_the_queue_will_do(name: str) -> None:
    """That of the work queue stands for its dead queue."""
    assert dead_queue_of(name) == DEAD
