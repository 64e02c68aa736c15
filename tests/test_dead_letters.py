"""The dead letter: what of a message it keeps, what it adds, and what would do harm and goes."""

from __future__ import annotations

import base64
import socket
import time
from typing import Any

import pytest
from amqp.basic_message import Message as Content

from greenmicro.copies import ALONE_HEADER, MOVES_HEADER
from greenmicro.dead_letters import HEADERS_LIMIT, UNREADABLE_LIMIT, dead_letter, dead_queue_name
from greenmicro.messages import ATTEMPT_HEADER, CRASHES_HEADER, SUSPICIONS_HEADER, Failure, Message, Reason

FAILURE = Failure('target error', 'builtins.ValueError: v', ('builtins.ValueError',), 'Traceback ...')
FRAME = 131_072


def letter(**fields: Any) -> Any:
    return dead_letter(Message(b'{}', queue='work', **fields), FAILURE)


def size(headers: Any) -> int:
    """How many bytes amqp makes of headers."""
    return len(Content(b'', application_headers=dict(headers))._serialize_properties())


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_it_goes_to_the_dead_queue_of_the_work_queue() -> None:
    """Through the default exchange, and it is an error if that queue is missing."""
    made = letter()
    assert (made.exchange, made.routing_key, made.mandatory) == ('', 'work.dead', True)
    assert dead_queue_name('work') == 'work.dead'


def test_body_and_properties_stay() -> None:
    """So that it can be looked at, and sent again."""
    properties = {
        'content_type': 'application/json',
        'message_id': 'm-1',
        'correlation_id': 'c',
        'priority': 3,
    }
    made = letter(properties=properties)
    assert made.body == b'{}'
    assert made.properties == {**properties, 'delivery_mode': 2}


@pytest.mark.parametrize('name', ['expiration', 'user_id'])
def test_properties_that_would_lose_it_go(name: str) -> None:
    """A dead letter that expires is lost; a foreign user id is refused by the broker."""
    assert letter(properties={name: '1', 'type': 't'}).properties == {'type': 't', 'delivery_mode': 2}


def test_headers_say_why_whence_where_and_when() -> None:
    """All that the README promises, beside the message's own."""
    before = int(time.time())
    headers = dict(letter(headers={'tenant': 7}, exchange='x.events', routing_key='placed').headers)
    assert before <= headers.pop('greenmicro.time') <= time.time()
    assert headers == {
        'tenant': 7,
        'greenmicro.attempt': 1,
        'greenmicro.reason': 'target error',
        'greenmicro.error': 'builtins.ValueError: v',
        'greenmicro.traceback': 'Traceback ...',
        'greenmicro.origin_exchange': 'x.events',
        'greenmicro.origin_routing_key': 'placed',
        'greenmicro.origin_queue': 'work',
        'greenmicro.host': socket.gethostname(),
    }


@pytest.mark.parametrize(('given', 'written'), [(2, 3), (-5, 1), ('many', 1), (True, 1), (2**70, 1)])
def test_the_attempt_is_counted(given: Any, written: int) -> None:
    """One more than came in, if that was a sensible count."""
    assert letter(headers={ATTEMPT_HEADER: given}).headers[ATTEMPT_HEADER] == written


@pytest.mark.parametrize(
    ('reason', 'given', 'written'),
    [
        (Reason.WORKER_LOST, None, 1),
        (Reason.WORKER_LOST, 2, 3),
        (Reason.TARGET, 2, 2),
        (Reason.TARGET, None, None),
    ],
)
def test_crashes_are_counted(reason: str, given: int | None, written: int | None) -> None:
    """This one with them, and only where there were any."""
    headers = {} if given is None else {CRASHES_HEADER: given}
    made = dead_letter(Message(b'{}', headers=headers, queue='work'), Failure(reason, 'e'))
    assert made.headers.get(CRASHES_HEADER) == written


def test_what_was_held_against_a_message_is_told_only_where_it_died_of_it() -> None:
    """One that fails by itself has been run to an end: it took nothing with it."""
    suspected = Message(b'{}', headers={SUSPICIONS_HEADER: 2, ALONE_HEADER: True, MOVES_HEADER: 4}, queue='q')
    for reason, crashes in ((Reason.WORKER_LOST, 3), (Reason.TARGET, None)):
        headers = dead_letter(suspected, Failure(reason, 'e')).headers
        assert headers.get(CRASHES_HEADER) == crashes
        assert headers.keys().isdisjoint(suspected.headers)


def test_forged_reasons_are_overwritten() -> None:
    """A message that comes with our headers leaves with the true ones."""
    forged = {'greenmicro.reason': 'none', 'greenmicro.origin_queue': 'elsewhere', 'greenmicro.time': 'x'}
    headers = letter(headers=forged).headers
    assert (headers['greenmicro.reason'], headers['greenmicro.origin_queue']) == ('target error', 'work')
    assert isinstance(headers['greenmicro.time'], int)


@pytest.mark.parametrize('name', ['x-death', 'CC', 'BCC'])
def test_headers_that_the_broker_acts_on_go(name: str) -> None:
    """With a CC that names the work queue, one poison message would come again for ever."""
    headers = letter(headers={name: ['work'], 'tenant': 7}).headers
    assert name not in headers
    assert headers['tenant'] == 7
    assert 'greenmicro.headers_left_out' not in headers


def test_the_messages_own_headers_are_untouched() -> None:
    """The letter's are a copy."""
    own = {'tenant': 7, 'CC': ['work']}
    letter(headers=own)
    assert own == {'tenant': 7, 'CC': ['work']}


@pytest.mark.parametrize(
    'large',
    [
        {'bomb': 'x' * 120_000},
        {f'key {number}': number for number in range(20_000)},
        {f'k{number}': None for number in range(30_000)},
        {'bomb': [1] * 60_000},
        {'bomb': [None] * 60_000},
        {'bomb': 'ä€' * 30_000},
        {'bomb': {str(number): '' for number in range(30_000)}},
        {'bomb': nested(100_000)},
    ],
    ids=['text', 'many', 'nones', 'list', 'list of none', 'wide', 'table', 'deep'],
)
def test_it_always_fits_into_a_frame(large: dict[str, Any]) -> None:
    """One that does not could not be published, and its message would stay unsettled for ever."""
    worst = Failure('target error', 'e' * 1_100, (), '€' * 8_100)
    headers = dead_letter(Message(b'', headers={'tenant': 7, **large}, queue='q'), worst).headers
    assert headers['tenant'] == 7
    assert headers['greenmicro.headers_left_out'] > 0
    assert size(headers) < FRAME - 1_000


def test_headers_that_fit_stay() -> None:
    """As many as there is room for."""
    headers = letter(headers={'a': 'x' * (HEADERS_LIMIT - 100), 'b': 'y' * 200, 'c': 'z'}).headers
    assert headers.keys() >= {'a', 'c'}
    assert headers['greenmicro.headers_left_out'] == 1


def test_unreadable_properties_go_along_as_text() -> None:
    """Base64-coded, and capped."""
    coded = letter(unreadable=b'\xff' * 100_000).headers['greenmicro.properties']
    assert base64.b64decode(coded) == b'\xff' * UNREADABLE_LIMIT
    assert 'greenmicro.properties' not in letter().headers
