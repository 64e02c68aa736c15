"""kombu's tags: that kombu and we understand each other, and what a bad tag comes to."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from typing import Any

import pytest
from kombu.utils import json as kombu_json

from greenmicro.codecs import encode
from tests.codecs.bodies import fault, payload_of

UTC = datetime.timezone.utc


TAGGED = [
    datetime.datetime(2024, 2, 29, 12, 30, 1, 5),
    datetime.datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
    datetime.date(2024, 2, 29),
    datetime.time(12, 30, 1, 5),
    decimal.Decimal('12.340'),
    uuid.UUID('0b5f7c1e-1e33-4c0e-9b61-7b8f3f0f1e77'),
    'über'.encode(),
    b'\xff\x00',
]


@pytest.mark.parametrize('value', TAGGED, ids=repr)
def test_kombu_and_we_understand_each_other(value: Any) -> None:
    """What kombu dumps we decode, what we encode kombu loads, and both to the same text."""
    payload = {'outer': [value]}
    assert payload_of(kombu_json.dumps(payload).encode()) == payload
    assert kombu_json.loads(encode(payload)[0]) == payload
    assert json.loads(encode(payload)[0]) == json.loads(kombu_json.dumps(payload))
    assert type(payload_of(encode(payload)[0])['outer'][0]) is type(value)


def test_an_unknown_tag_leaves_the_object_as_it_is() -> None:
    """Objects that only look tagged are data."""
    for tag in ('frob', 3, None, ['date'], {'a': 1}):
        payload = {'__type__': tag, '__value__': 1}
        assert payload_of(json.dumps(payload).encode()) == payload
    payload = {'__type__': 'date', '__value__': 'x', 'more': 1}
    assert payload_of(json.dumps(payload).encode()) == payload


@pytest.mark.parametrize(
    'value', ['\u00ff', 'no', '', 3, None, [], [[0, [1], 0]], {}, {'hex': 3}, {'hex': 'x'}]
)
@pytest.mark.parametrize('tag', ['datetime', 'date', 'time', 'decimal', 'uuid', 'base64'])
def test_a_known_tag_with_a_bad_value_is_a_fault(tag: str, value: Any) -> None:
    """Not what the tag says: told with the tag and where the object ends."""
    if (tag, value) == ('base64', ''):
        return
    body = json.dumps([{'__type__': tag, '__value__': value}]).encode()
    assert f'which is tagged as {tag} and is none, ending at character {len(body) - 1}' in fault(body)


def test_bytes_that_are_no_string_are_a_fault() -> None:
    """The tag of bytes carries text."""
    assert fault(b'{"__type__": "bytes", "__value__": 3}').startswith(
        'the JSON body holds int, which is tagged'
    )
