"""pack_publication: what amqp and RabbitMQ read back, and refusals before anything is sent."""

import datetime
import decimal
import struct
from typing import Any

import pytest
from amqp.serialization import decode_properties_basic
from hypothesis import given
from hypothesis import strategies as st

from greenmicro.brokers.rabbitmq.frames import BODY, CONTENT_HEAD, FRAME_HEAD, HEADER, METHOD
from greenmicro.brokers.rabbitmq.publications import PROPERTIES, pack_publication
from greenmicro.errors import PayloadError
from greenmicro.messages import Publication

FRAME_MAX = 4096

SHORT = st.text(st.characters(exclude_categories=['Cs']), max_size=60)
VALUES = {
    name: SHORT if bits is None else st.integers(0, (1 << bits) - 1)
    for name, bits in PROPERTIES.items()
    if name != 'headers'
}
HEADERS = st.dictionaries(
    SHORT.filter(bool),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | SHORT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SHORT.filter(bool), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """The (kind, payload) of each frame."""
    read = []
    while data:
        kind, channel, size = FRAME_HEAD.unpack_from(data)
        assert channel == 7
        assert size + 8 <= FRAME_MAX
        assert data[7 + size] == 0xCE
        read.append((kind, data[7 : 7 + size]))
        data = data[8 + size :]
    return read


@given(st.fixed_dictionaries({}, optional=VALUES), HEADERS, st.binary(max_size=20_000))
def test_all_that_fits_is_read_back_the_same(
    properties: dict[str, Any], headers: dict[str, Any], body: bytes
) -> None:
    """Properties and headers as amqp decodes them; the body cut into frames that the broker takes."""
    packed = pack_publication(7, Publication('ex', 'key', body, properties, headers, True), FRAME_MAX)
    (method, head), (kind, content), *bodies = frames(packed)
    assert (method, head) == (METHOD, struct.pack('>HHH', 60, 40, 0) + b'\x02ex\x03key\x01')
    assert kind == HEADER
    assert CONTENT_HEAD.unpack_from(content) == (60, 0, len(body))
    decoded, end = decode_properties_basic(content, CONTENT_HEAD.size)
    assert decoded.pop('application_headers', {}) == headers
    assert decoded == properties
    assert end == len(content)
    assert all(kind == BODY for kind, _ in bodies)
    assert b''.join(piece for _, piece in bodies) == body


def test_none_is_left_out() -> None:
    """A property that is None is not sent."""
    packed = pack_publication(7, Publication('', 'q', b'', {'priority': None, 'type': None}), FRAME_MAX)
    assert decode_properties_basic(frames(packed)[1][1], CONTENT_HEAD.size)[0] == {}


SELF_CONTAINING: dict[str, Any] = {}
SELF_CONTAINING['self'] = SELF_CONTAINING


@pytest.mark.parametrize(
    ('fields', 'named'),
    [
        ({'exchange': 'e' * 256}, 'exchange'),
        ({'routing_key': 'ü' * 128}, 'routing key'),
        ({'properties': {'message_id': 'm' * 256}}, 'message_id'),
        ({'properties': {'message_id': 5}}, 'message_id'),
        ({'properties': {'message_id': '\udc80'}}, 'message_id'),
        ({'properties': {'expiration': 60}}, 'expiration'),
        ({'properties': {'priority': 256}}, 'priority'),
        ({'properties': {'priority': '1'}}, 'priority'),
        ({'properties': {'delivery_mode': True}}, 'delivery_mode'),
        ({'properties': {'timestamp': -1}}, 'timestamp'),
        ({'properties': {'timestamp': 1.5}}, 'timestamp'),
        ({'properties': {'prioritee': 1}}, 'prioritee'),
        ({'properties': {'headers': {}}}, 'headers'),
        ({'headers': {'x': object()}}, 'headers'),
        ({'headers': {'x': 2**63}}, 'headers'),
        ({'headers': {'x' * 256: 1}}, 'headers'),
        ({'headers': {5: 1}}, 'headers'),
        ({'headers': {'x': decimal.Decimal('NaN')}}, 'headers'),
        ({'headers': {'x': decimal.Decimal(2**80)}}, 'headers'),
        ({'headers': {'x': datetime.datetime(1969, 1, 1)}}, 'headers'),
        ({'headers': SELF_CONTAINING}, 'headers'),
        ({'headers': {'x': 'y' * FRAME_MAX}}, 'headers'),
    ],
)
def test_what_amqp_cannot_carry_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    """Nothing is packed, and the error says what is wrong."""
    publication = Publication(**{'exchange': 'e', 'routing_key': 'k', 'body': b'', **fields})
    with pytest.raises(PayloadError, match=named):
        pack_publication(7, publication, FRAME_MAX)
