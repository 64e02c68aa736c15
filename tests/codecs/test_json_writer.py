"""Encoding: what becomes JSON, comes back as it was, and what is said of what cannot."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils import json as kombu_json

from greenmicro.codecs import decode, encode
from greenmicro.errors import PayloadError
from greenmicro.messages import Message
from tests.codecs.bodies import payload_of


def encode_fault(payload: Any) -> str:
    with pytest.raises(PayloadError) as caught:
        encode(payload)
    return str(caught.value)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.binary(),
    st.dates(),
    st.times(),
    st.datetimes(),
    st.uuids(),
    st.decimals(allow_nan=False),
)
PAYLOADS = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@given(PAYLOADS)
def test_what_is_encoded_comes_back(payload: Any) -> None:
    """For every payload of what is possible."""
    body, content_type, encoding = encode(payload)
    assert decode(Message(body, {'content_type': content_type, 'content_encoding': encoding})) == payload


@given(PAYLOADS)
def test_what_kombu_encodes_comes_out_as_it_was(payload: Any) -> None:
    """And what we encode comes out of kombu."""
    assert payload_of(kombu_json.dumps(payload).encode()) == payload
    assert kombu_json.loads(encode(payload)[0]) == payload


def test_everything_is_json_a_bare_string_too() -> None:
    """The body nameko would send, but compact and in UTF-8."""
    assert encode('ü') == ('"ü"'.encode(), 'application/json', 'utf-8')
    assert encode({'a': (1, None)})[0] == b'{"a":[1,null]}'
    assert encode({1: 1, 1.5: 2, None: 3, False: 4})[0] == b'{"1":1,"1.5":2,"null":3,"false":4}'


class Money:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __json__(self) -> Any:
        if isinstance(self.inner, Exception):
            raise self.inner
        return self.inner


class Endless:
    def __json__(self) -> Any:
        return Endless()


class Stamp(datetime.datetime):
    pass


def test_objects_with_json_are_encoded_by_it() -> None:
    """As kombu does; subclasses of known types go as those."""
    assert encode([Money({'eur': decimal.Decimal(1)})])[0] == (
        b'[{"eur":{"__type__":"decimal","__value__":"1"}}]'
    )
    assert payload_of(encode(Stamp(2024, 1, 1))[0]) == datetime.datetime(2024, 1, 1)


def circular() -> list[Any]:
    inner: list[Any] = []
    inner.append({'up': [inner]})
    return inner


def deep(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ('payload', 'words'),
    [
        (
            {'items': [0, 1, 2, {'price': {1}}]},
            "payload['items'][3]['price'] (set): only dict, list, tuple, str",
        ),
        (object(), 'payload (object): only dict'),
        ([1.0, float('nan')], 'payload[1] (float): '),
        ([float('-inf')], 'payload[0] (float): '),
        ({'a': ('x', '\ud800')}, "payload['a'][1] (str): 'utf-8' codec can't encode"),
        ({'a': {'\ud800': 1}}, "payload['a'] (dict): 'utf-8' codec"),
        ({'a': {(1, 2): 1}}, "payload['a'] (dict): keys must be str"),
        ({'a': 10**5_000}, "payload['a'] (int): Exceeds the limit"),
        ([Money({'a': object()})], "payload[0]['a'] (object): only dict"),
        ([Money(ValueError('no rate'))], 'payload[0] (Money): no rate'),
        ([Money], 'payload[0] (type): '),
        (circular(), "payload[0]['up'][0] (list) contains itself"),
        (Endless(), 'is nested over 100 levels deep and not searched further: '),
        (deep(1, 50_000), 'payload[0][0][0]'),
        (deep({1}, 150), 'is nested over 100 levels deep and not searched further: only dict'),
        ({'k' * 500: {1}}, f"payload['{'k' * 39}] (set)"),
    ],
)
def test_what_cannot_be_encoded_is_told_with_its_path(payload: Any, words: str) -> None:
    """The error names the path to the element, its type and why."""
    text = encode_fault(payload)
    assert text.startswith('payload')
    assert words in text
    assert len(text) < 320


def test_an_error_that_comes_once_is_told_without_a_path() -> None:
    """Where the second look finds nothing wrong, the error speaks for itself."""
    answers = iter([ValueError('once'), 1])

    class Moody:
        def __json__(self) -> Any:
            answer = next(answers)
            if isinstance(answer, ValueError):
                raise answer
            return answer

    assert encode_fault([Moody()]) == 'payload: once'


def test_an_error_of_another_kind_from_the_users_json_is_the_users() -> None:
    """A `__json__` that fails for its own reasons is not wrapped."""
    with pytest.raises(LookupError, match='no rate'):
        encode(Money(LookupError('no rate')))
