"""Kinds of values: what each takes, in which type, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from greenmicro import kinds
from greenmicro.addresses import Address
from greenmicro.kinds import FaultError, Kind

ONE = kinds.one_of({'yes': 1, 'perhaps': 2})


@pytest.mark.parametrize(
    ('kind', 'value', 'kept'),
    [
        (kinds.count(), 10**9, 10**9),
        (kinds.count(kinds.SHORT), 65_535, 65_535),
        (kinds.SECONDS, 1, 1.0),
        (kinds.SECONDS, 1e-9, 1e-9),
        (kinds.SECONDS_FROM_0, 0, 0.0),
        (kinds.WHOLE_SECONDS, 20.0, 20),
        (kinds.WHOLE_SECONDS, 65_535, 65_535),
        (kinds.FLAG, True, True),
        (kinds.NAME, 'ü' * 100, 'ü' * 100),
        (kinds.PATH, 'package.setup', 'package.setup'),
        (kinds.URIS, 'amqp://h1;amqp://h2', 'amqp://h1;amqp://h2'),
        (kinds.ADDRESS, ':8080', Address('', 8080)),
        (ONE, 'perhaps', 2),
    ],
)
def test_a_value_that_is_wanted_is_kept_in_its_type(kind: Kind, value: Any, kept: Any) -> None:
    """What is accepted becomes the kind's own type."""
    found = kind.accept(value)
    assert (found, type(found)) == (kept, type(kept))


@pytest.mark.parametrize(
    ('kind', 'value'),
    [
        (kinds.count(), True),
        (kinds.count(), 0),
        (kinds.count(), -1),
        (kinds.count(), 2.0),
        (kinds.count(), '3'),
        (kinds.count(), None),
        (kinds.count(kinds.SHORT), 65_536),
        (kinds.SECONDS, 0),
        (kinds.SECONDS, float('inf')),
        (kinds.SECONDS, '5'),
        (kinds.SECONDS, False),
        (kinds.SECONDS_FROM_0, -0.1),
        (kinds.SECONDS_FROM_0, None),
        (kinds.SECONDS_FROM_0, float('nan')),
        (kinds.SECONDS_FROM_0, 10**400),
        (kinds.WHOLE_SECONDS, 2.5),
        (kinds.WHOLE_SECONDS, 0),
        (kinds.WHOLE_SECONDS, 65_536),
        (kinds.FLAG, 1),
        (kinds.ADDRESS, 8080),
        (kinds.ADDRESS, 'localhost'),
        (kinds.NAME, ''),
        (kinds.NAME, 3),
        (kinds.NAME, 'a b'),
        (kinds.NAME, 'a/b'),
        (kinds.NAME, 'a\x00b'),
        (kinds.NAME, 'a' * 101),
        (kinds.PATH, 'setup'),
        (kinds.URIS, 'redis://h'),
        (ONE, 1),
        (ONE, None),
        (ONE, ['yes']),
    ],
)
def test_a_value_that_is_not_wanted_is_refused(kind: Kind, value: Any) -> None:
    """A wrong type, True for a number among them, or a value out of range."""
    with pytest.raises((ValueError, OverflowError)):
        kind.accept(value)


@pytest.mark.parametrize(
    ('kind', 'value', 'fault'),
    [
        (ONE, 'Yes', "wanted one of 'yes', 'perhaps'; found 'Yes' (str); did you mean 'yes'?"),
        (ONE, 3, "wanted one of 'yes', 'perhaps'; found 3 (int)"),
        (kinds.PATH, 'setup', "wanted a dotted path such as 'package.module.function', found 'setup', which"),
        (kinds.URIS, 'redis://h', 'the scheme is not accepted'),
    ],
)
def test_some_kinds_say_more(kind: Kind, value: Any, fault: str) -> None:
    """Where what is wanted does not say it all, the error does."""
    with pytest.raises(FaultError) as caught:
        kind.accept(value)
    assert str(caught.value).startswith(fault)


@pytest.mark.parametrize(
    ('kind', 'text', 'value'),
    [
        (kinds.count(), '7', 7),
        (kinds.SECONDS, '2.5', 2.5),
        (kinds.WHOLE_SECONDS, '20', 20),
        (kinds.FLAG, 'Yes', True),
        (kinds.FLAG, '0', False),
        (kinds.NAME, ' 1', ' 1'),
    ],
)
def test_the_text_of_a_variable_is_read_as_the_kind(kind: Kind, text: str, value: Any) -> None:
    """Numbers and flags have text of their own; of all others it is the value."""
    assert kind.parse(text) == value


@pytest.mark.parametrize(('kind', 'text'), [(kinds.count(), 'many'), (kinds.SECONDS, ''), (kinds.FLAG, 'on')])
def test_text_that_cannot_be_read_so_is_refused(kind: Kind, text: str) -> None:
    """By parse, or, where that makes nothing of it, by accept."""
    with pytest.raises(ValueError):  # noqa: PT011 - it says nothing; the key and what was found do
        kind.accept(kind.parse(text))


def test_a_long_value_is_quoted_in_part() -> None:
    """A fault stays a line."""
    assert kinds.found('a' * 1_000) == f"'{'a' * 59} (str)"


def test_where_no_name_is_near_none_is_suggested() -> None:
    """Only what was likely meant."""
    assert kinds.nearest('PREFETC', ['PREFETCH', 'SERVICE_NAME']) == "; did you mean 'PREFETCH'?"
    assert kinds.nearest('xyz', ['PREFETCH', 'SERVICE_NAME']) == ''
