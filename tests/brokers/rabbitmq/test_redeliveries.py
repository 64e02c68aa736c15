"""What a redelivery is known by; how doubts are used is tested with Deliveries."""

import copy
import marshal
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from greenmicro.brokers.rabbitmq.redeliveries import Doubts, key_of
from greenmicro.messages import ATTEMPT_HEADER, CRASHES_HEADER, Message

SENT = Message(b'body', {'message_id': 'm', 'priority': 0}, {'b': [1], 'a': {'c': 2}}, 'shop.events', 'order')


@pytest.mark.parametrize('message_id', ['m', None])
def test_a_redelivery_has_the_key_of_the_first_delivery(message_id: str | None) -> None:
    """Whatever a quorum queue counts in it, and in whichever order it leaves its headers."""
    sent = SENT._replace(properties={'message_id': message_id} if message_id else {})
    counted = {'a': {'c': 2}, 'b': [1], 'x-acquired-count': 3, 'x-delivery-count': 3}
    assert key_of(sent._replace(headers=counted, redelivered=True)) == key_of(sent)
    bare = sent._replace(headers={})
    assert key_of(bare._replace(headers={'x-delivery-count': 1})) == key_of(bare)


@pytest.mark.parametrize(
    'other',
    [
        {'body': b'other'},
        {'routing_key': 'other'},
        {'exchange': 'other'},
        {'properties': {'message_id': 'n', 'priority': 0}},
        {'properties': {'message_id': 'm', 'priority': 0, 'timestamp': 5}},
        {'headers': {**SENT.headers, ATTEMPT_HEADER: 1}},
        {'headers': {**SENT.headers, CRASHES_HEADER: 1}},
        {'headers': {}},
    ],
)
def test_another_message_has_another_key(other: dict[str, Any]) -> None:
    """A retry, a requeued dead letter, and whatever a sender changed."""
    assert key_of(SENT._replace(**other)) != key_of(SENT)


TIME = datetime(2026, 1, 1, tzinfo=timezone.utc)
#: Equal in Python, or of the same text, and yet not the same on the wire.
ALIKE = [1, True, 1.0, '1', b'1', [1], [True], ['1'], {'a': 1}, {'a': True}, Decimal(1), [Decimal(1)], None]
ALIKE += [TIME, repr(TIME), *(marshal.dumps(value, 2).decode('latin-1') for value in (1, True, b'1', None))]


@pytest.mark.parametrize('properties', [{'message_id': 'm'}, {}], ids=['id', 'no id'])
def test_headers_that_only_look_alike_make_another_key(properties: dict[str, Any]) -> None:
    """By type and value, in lists and tables too; a copy has the same key, also of what others hold."""
    keys = [key_of(Message(b'', properties, {'x': value})) for value in ALIKE]
    assert len(set(keys)) == len(ALIKE)
    assert keys == [key_of(Message(b'', properties, {'x': value})) for value in copy.deepcopy(ALIKE)]


@pytest.mark.parametrize('properties', [{'message_id': 'm'}, {}], ids=['id', 'no id'])
def test_headers_that_cannot_be_described_have_a_key(properties: dict[str, Any]) -> None:
    """Tables in tables: the reader of the connection must not die of them."""
    deep: Any = {}
    for _ in range(100_000):
        deep = {'x': deep}
    message = Message(b'', properties, {'deep': deep})
    assert key_of(message) == key_of(message._replace(redelivered=True))
    while deep:  # or freeing it would go as deep
        deep = deep.pop('x')


def test_the_oldest_doubts_go_first() -> None:
    """So many are kept that run, and so many that have finished."""
    doubts = Doubts(2)
    for key in 'abc':
        doubts.add(key, Message(key.encode()), owed=True)
        doubts.add(key * 2, None, owed=True)
    assert len(doubts) == 4
    assert [key for key in ('a', 'b', 'aa', 'bb') if doubts.take(key)] == ['b', 'bb']


def test_many_doubts_at_once_are_bounded_too() -> None:
    """The oldest go first, those that are alike included."""
    doubts = Doubts(limit=3)
    doubts.add('a', None, owed=True)
    doubts.add_written(['b', 'b', 'c', 'd'])
    assert len(doubts) == 3
    assert [doubts.take(key) is not None for key in ('a', 'b', 'b', 'c', 'd')] == [
        False,
        True,
        False,
        True,
        True,
    ]
