"""What the memory broker carries is what comes out of AMQP; py-amqp's own codec is the judge."""

import enum
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from amqp.serialization import dumps, loads
from hypothesis import given, settings
from hypothesis import strategies as st

from greenmicro.brokers.memory.wire import carried_headers, carried_properties, copied_headers
from greenmicro.errors import PayloadError

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31))
    | st.decimals(-(10**6), 10**6, places=2),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(max_size=20), inner),
    max_leaves=12,
)


@settings(deadline=None)  # a busy machine is no fault of the codec
@given(st.dictionaries(st.text(max_size=20), VALUES))
def test_headers_are_as_amqp_returns_them(headers: dict[str, Any]) -> None:
    """Values, and the kinds of values, are those that py-amqp reads from what it wrote."""
    (expected,), _ = loads('F', dumps('F', [headers]), 0)
    found = dict(carried_headers(headers))
    assert repr(found) == repr(expected)
    assert repr(dict(copied_headers(found))) == repr(expected)


class Colour(str, enum.Enum):
    RED = 'red'


def test_subclasses_become_plain() -> None:
    """A text of a class of its own arrives as a text, and a time of any zone as UTC."""
    zone = timezone(timedelta(hours=2))
    found = carried_headers({'colour': Colour.RED, 'at': datetime(2026, 1, 1, 2, 0, 0, 5, tzinfo=zone)})
    assert found == {'colour': 'red', 'at': datetime(2026, 1, 1)}
    assert type(found['colour']) is str


@pytest.mark.parametrize(
    'value',
    [
        object(),
        {1, 2},
        2**63,
        -(2**63) - 1,
        Decimal('1E3'),
        Decimal('21474836.48'),
        [object()],
        {'a': {'b': object()}},
    ],
)
def test_what_has_no_form_is_refused(value: Any) -> None:
    """What AMQP has no form for is refused, with the header's name."""
    with pytest.raises(PayloadError, match='header'):
        carried_headers({'given': value})


def test_properties_are_those_of_the_specification() -> None:
    """Unknown properties, and those that are None, do not get through; as with py-amqp."""
    given_ = {'message_id': 'm', 'reply_to': None, 'colour': 'red', 'timestamp': 1, 'priority': 0}
    assert carried_properties(given_) == {'message_id': 'm', 'timestamp': 1, 'priority': 0}


@pytest.mark.parametrize(
    'property_',
    [{'timestamp': 1.5}, {'timestamp': -1}, {'priority': 256}, {'type': 'x' * 256}, {'expiration': 1}],
)
def test_property_of_another_type_is_refused(property_: dict[str, Any]) -> None:
    """A property that does not fit its field is refused, with its name."""
    with pytest.raises(PayloadError, match=next(iter(property_))):
        carried_properties(property_)


def test_decimal_is_kept() -> None:
    """Decimals have a form of their own in AMQP."""
    assert carried_headers({'price': Decimal('1.50')}) == {'price': Decimal('1.50')}
