"""The forms in which a message is published again: what they keep, what they count, what would do harm."""

from __future__ import annotations

from typing import Any

import pytest

from greenmicro.copies import ALONE_HEADER, MOVES_HEADER, copy_of, names_of, retry_of
from greenmicro.messages import (
    ATTEMPT_HEADER,
    CRASHES_HEADER,
    SUSPICIONS_HEADER,
    Failure,
    Message,
    Publication,
    Reason,
)

FAILURE = Failure(Reason.TARGET, 'ValueError: v', delay_s=1.5)
LOST = Failure(Reason.WORKER_LOST, 'worker lost: killed by SIGKILL', delay_s=1.5)


def test_a_copy_is_what_its_sender_gave() -> None:
    """Less what the broker would refuse, count on, or send to others again."""
    message = Message(
        b'body',
        {'message_id': 'm', 'user_id': 'somebody', 'expiration': '60000'},
        {'x-mine': 1, 'x-delivery-count': 5, 'x-acquired-count': 5, 'CC': ['other'], 'BCC': ['third']},
        'shop.events',
        'order',
        'q',
    )
    copy = copy_of(message)
    assert copy[:4] == ('', 'q', b'body', {'message_id': 'm', 'expiration': '60000'})
    assert copy.mandatory
    assert copy.delay_s is None
    came_back = Message(copy.body, copy.properties, copy.headers, '', 'q', 'q')
    assert names_of(came_back) == ('shop.events', 'order')
    assert copy.headers['x-mine'] == 1
    assert not copy.headers.keys() & {'x-delivery-count', 'x-acquired-count', 'CC', 'BCC'}


def test_names_are_restored_through_the_default_exchange_only() -> None:
    """And only where both were given as texts."""
    headers = {'greenmicro.origin_exchange': 'ex', 'greenmicro.origin_routing_key': 'key'}
    assert names_of(Message(b'', headers=headers, exchange='other', routing_key='k')) == ('other', 'k')
    forged = {**headers, 'greenmicro.origin_exchange': 5}
    assert names_of(Message(b'', headers=forged, routing_key='q')) == ('', 'q')


def retried(failure: Failure = FAILURE, **fields: Any) -> Publication:
    return retry_of(Message(b'{}', queue='work', **fields), failure)


def came_back(publication: Publication) -> Message:
    """As it is read from its queue again."""
    return Message(publication.body, publication.properties, publication.headers, '', 'work', 'work')


def test_a_retry_goes_to_its_own_queue_after_its_delay() -> None:
    """Through the default exchange, and it is an error if it is not taken."""
    made = retried()
    assert made[:3] == ('', 'work', b'{}')
    assert (made.mandatory, made.delay_s) == (True, 1.5)


def test_a_failed_attempt_is_counted() -> None:
    """Up from what came in, if that was a sensible count; crashes stay as they are."""
    message = Message(b'', headers={CRASHES_HEADER: 1}, queue='work')
    for attempt in (2, 3, 4):
        message = came_back(retry_of(message, FAILURE))
        assert (message.attempt, message.crashes) == (attempt, 1)
    assert came_back(retried(headers={ATTEMPT_HEADER: 'forged'})).attempt == 2


def test_what_was_run_to_an_end_is_no_suspect_any_more() -> None:
    """A retry says nothing of how often services left it, and is not marked."""
    held_against_it = {SUSPICIONS_HEADER: 2, ALONE_HEADER: True, MOVES_HEADER: 3}
    assert retried(headers=held_against_it).headers.keys().isdisjoint(held_against_it)


def test_a_crash_is_counted_apart() -> None:
    """It is no attempt: the target had no chance to fail."""
    again = came_back(retry_of(came_back(retried()), LOST))
    assert (again.attempt, again.crashes) == (2, 1)


@pytest.mark.parametrize(
    'name',
    ['x-death', 'x-first-death-queue', 'x-last-death-reason', 'CC', 'BCC', 'x-delivery-count'],
)
def test_headers_that_brokers_act_on_go(name: str) -> None:
    """With its history the broker would drop it as going in circles; with a CC others get it again."""
    headers = retried(headers={name: ['work'], 'tenant': 7}).headers
    assert name not in headers
    assert headers['tenant'] == 7


@pytest.mark.parametrize('name', ['expiration', 'user_id'])
def test_properties_that_would_lose_it_go(name: str) -> None:
    """A time-to-live would end the delay; a foreign user id is refused by the broker."""
    assert retried(properties={name: '1', 'message_id': 'm'}).properties == {'message_id': 'm'}


def test_where_it_was_first_published_stays_known() -> None:
    """However often it comes back: topic patterns and methods are told from it."""
    message = Message(b'', exchange='shop.events', routing_key='order.placed', queue='work')
    for _ in range(3):
        message = came_back(retry_of(message, FAILURE))
        exchange, routing_key = names_of(message)
        assert (exchange, routing_key) == ('shop.events', 'order.placed')
        message = message._replace(exchange=exchange, routing_key=routing_key)


def test_a_delayed_event_comes_from_the_exchange_that_it_was_published_on() -> None:
    """The one of ours that it came back through is not told."""
    assert names_of(Message(b'', exchange='greenmicro.due.shop.events', routing_key='placed')) == (
        'shop.events',
        'placed',
    )
