"""Wire: deliveries reach their owner whatever their sender put into them."""

import socket
import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import ChannelError, PreconditionFailed, RecoverableConnectionError
from amqp.serialization import dumps
from hypothesis import given
from hypothesis import strategies as st

from greenmicro.brokers.rabbitmq.contents import Content
from greenmicro.brokers.rabbitmq.frames import BODY, CONTENT_HEAD, HEADER, METHOD, METHOD_ID, pack_frame
from greenmicro.brokers.rabbitmq.owners import ChannelOwner
from greenmicro.brokers.rabbitmq.publications import pack_properties
from greenmicro.brokers.rabbitmq.wire import NAMES_LIMIT, Wire

DELIVER, RETURN, ACK, NACK, CANCEL = (60, 60), (60, 50), (60, 80), (60, 120), (60, 30)
CHANNEL_CLOSE, CLOSE_OK = (20, 40), (20, 41)
HEADERS_FLAG = 0x2000


class Recorder(ChannelOwner):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def delivered(self, tag: int, redelivered: bool, names: tuple[str, str], content: Content) -> None:
        self.told.append((tag, redelivered, names, content))

    def cancelled(self) -> None:
        self.told.append('cancelled')

    def confirmed(self, tag: int, multiple: bool, accepted: bool) -> None:
        self.told.append((tag, multiple, accepted))

    def returned(self, why: str, names: tuple[str, str], content: Content) -> None:
        self.told.append((why, names, content.properties, content.body))

    def closed(self, error: ChannelError) -> None:
        self.told.append(error)


class End:
    """A wire with one owned channel, and what amqp is called back with."""

    def __init__(self) -> None:
        sock, self.peer = socket.socketpair()
        self.wire = Wire()
        self.owner = self.wire.owners[1] = Recorder()
        self.called_back: list[Any] = []
        self.collected: list[int] = []
        channel = SimpleNamespace(collect=lambda: self.collected.append(1))
        self.connection = SimpleNamespace(channels={1: channel})
        self.wire.frame_writer(self.connection, SimpleNamespace(sock=sock, send_now=sock.send))
        self.on_frame = self.wire.frame_handler(self.connection, lambda *call: self.called_back.append(call))
        self._sock = sock

    def method(self, method: tuple[int, int], arguments: bytes = b'', channel: int = 1) -> None:
        self.on_frame((METHOD, channel, METHOD_ID.pack(*method) + arguments))

    def deliver(self, properties: bytes, *pieces: bytes, size: int | None = None) -> Content:
        """Have a delivery come in, and return its content as the owner got it."""
        self.method(DELIVER, dumps('sLbss', ['consumer-tag', 5, True, 'ex', 'key']))
        length = sum(map(len, pieces)) if size is None else size
        self.on_frame((HEADER, 1, CONTENT_HEAD.pack(60, 0, length) + properties))
        for piece in pieces:
            self.on_frame((BODY, 1, piece))
        tag, redelivered, names, content = self.owner.told.pop()
        assert (tag, redelivered, names) == (5, True, ('ex', 'key'))
        assert isinstance(content, Content)
        return content

    def close(self) -> None:
        self.wire.close(RuntimeError('the test is over'))
        self._sock.close()
        self.peer.close()


@pytest.fixture
def end() -> Iterator[End]:
    made = End()
    yield made
    made.close()


def headers(table: bytes) -> bytes:
    return struct.pack('>HI', HEADERS_FLAG, len(table)) + table


def nested(depth: int) -> bytes:
    table = b''
    for _ in range(depth):
        table = b'\1xF' + struct.pack('>I', len(table)) + table
    return table


def test_a_delivery_reaches_its_owner(end: End) -> None:
    """Properties, headers apart, and the body in one piece."""
    packed = pack_properties({'message_id': 'm', 'priority': 3}, {'a': 1})
    content = end.deliver(packed, b'one ', b'two ', b'three')
    assert content.properties == {'message_id': 'm', 'priority': 3}
    assert content.headers == {'a': 1}
    assert content.body == b'one two three'
    assert content.unreadable is None


def test_no_body_is_an_empty_body(end: End) -> None:
    """No body frame follows, and empty ones change nothing."""
    assert end.deliver(b'\0\0').body == b''
    assert end.deliver(b'\0\0', b'', b'x').body == b'x'


@pytest.mark.parametrize(
    'properties',
    [
        headers(b'\1tT' + struct.pack('>Q', 1_700_000_000_000_000)),
        headers(b'\1tT' + struct.pack('>Q', 2**63 - 1)),
        headers(b'\1tT' + struct.pack('>Q', 2**64 - 1)),
        headers(nested(3000)),
        headers(b'\1xZ'),
        headers(b'\1xS\xff\xff\xff\xff'),
        headers(b'\xff'),
        b'\x80\x00\x05\xff\xfe\xfd\xfc\xfb',
        b'\x00\x80\x02\xc3\x28',
        b'\xff',
        b'',
    ],
    ids=[
        'milliseconds',
        '2^63-1',
        '2^64-1',
        'nested 3000',
        'type',
        'length',
        'cut off',
        'content type',
        'id',
        'flags',
        'none',
    ],
)
def test_unreadable_properties_go_along_raw(end: End, properties: bytes) -> None:
    """The message arrives with its body; what follows on the connection is untouched."""
    content = end.deliver(properties, b'body')
    if content.unreadable is not None:
        assert content.unreadable == properties
        assert content.properties == {}
        assert content.headers == {}
    else:
        assert properties in (headers(b'\1xS\xff\xff\xff\xff'),)  # read as a shorter text
    assert content.body == b'body'
    assert end.deliver(b'\0\0', b'next').body == b'next'


@given(st.binary(max_size=200))
def test_any_property_bytes_make_a_delivery(properties: bytes) -> None:
    """Whatever a sender writes, its message reaches the owner, and nothing is raised."""
    content = Content(True, b'')
    assert content.read_header(CONTENT_HEAD.pack(60, 0, 0) + properties)
    assert all(isinstance(name, str) for name in content.headers)


def test_large_headers_are_read(end: End) -> None:
    """100 kB of them, as the broker lets through."""
    assert end.deliver(pack_properties({}, {'x': 'y' * 100_000})).headers == {'x': 'y' * 100_000}


def test_names_of_headers_are_texts(end: End) -> None:
    """One that is no UTF-8 is escaped, and the others stay as they are."""
    assert end.deliver(headers(b'\2\xc3\x28t\1\1at\0')).headers == {'\\xc3(': True, 'a': False}


def test_names_that_are_no_utf_8(end: End) -> None:
    """A routing key is whatever bytes its publisher chose."""
    end.method(DELIVER, b'\1c' + struct.pack('>QB', 7, 0xFE) + b'\2ex\2\xc3\x28')
    end.on_frame((HEADER, 1, CONTENT_HEAD.pack(60, 0, 0) + b'\0\0'))
    assert end.owner.told[0][:3] == (7, False, ('ex', '\ufffd('))


def test_decoded_names_are_bounded(end: End) -> None:
    """However many routing keys there are."""
    for number in range(2 * NAMES_LIMIT):
        key = b'%d' % number
        end.method(DELIVER, b'\1c' + struct.pack('>QB', 1, 0) + b'\2ex' + bytes([len(key)]) + key)
        end.on_frame((HEADER, 1, CONTENT_HEAD.pack(60, 0, 0) + b'\0\0'))
    assert end.owner.told[-1][2] == ('ex', str(2 * NAMES_LIMIT - 1))
    assert len(end.wire._names) <= NAMES_LIMIT


def test_a_return_is_told_with_its_names(end: End) -> None:
    """They tell two publishes of one id apart."""
    end.method(RETURN, dumps('Bsss', [312, 'NO_ROUTE', 'ex', 'key']))
    end.on_frame((HEADER, 1, CONTENT_HEAD.pack(60, 0, 1) + pack_properties({'message_id': 'm'}, {})))
    end.on_frame((BODY, 1, b'x'))
    assert end.owner.told == [('312 NO_ROUTE', ('ex', 'key'), {'message_id': 'm'}, b'x')]


@pytest.mark.parametrize(('flags', 'multiple'), [(0, False), (1, True), (2, False), (3, True)])
def test_confirms_are_told(end: End, flags: int, multiple: bool) -> None:
    """A nack has a second flag, which is not the first."""
    end.method(ACK, struct.pack('>QB', 9, flags & 1))
    end.method(NACK, struct.pack('>QB', 9, flags))
    assert end.owner.told == [(9, multiple, True), (9, multiple, False)]
    assert not end.called_back


def test_nothing_comes_after_a_cancel(end: End) -> None:
    """The owner is about to consume on another channel, where the same tags mean other messages."""
    end.method(CANCEL, dumps('sb', ['tag', True]))
    assert end.owner.told == ['cancelled']
    end.method(DELIVER, dumps('sLbss', ['tag', 1, False, '', 'q']))
    end.on_frame((HEADER, 1, CONTENT_HEAD.pack(60, 0, 0) + b'\0\0'))
    assert end.owner.told == ['cancelled']


def test_a_closed_channel_is_told_before_it_is_answered(end: End) -> None:
    """Acks that wait are dropped by its owner: after close-ok they would end the connection (504)."""
    end.owner.closed = lambda error: end.wire.outbox.write(b'before')  # type: ignore[method-assign]
    end.method(CHANNEL_CLOSE, dumps('BsBB', [406, 'PRECONDITION_FAILED - late', 60, 80]))
    close_ok = pack_frame(METHOD, 1, METHOD_ID.pack(*CLOSE_OK))
    assert end.peer.recv(100) == b'before' + close_ok
    assert end.collected
    assert not end.wire.owners
    assert not end.called_back


def test_why_a_channel_was_closed(end: End) -> None:
    """As amqp's class for its code."""
    end.method(CHANNEL_CLOSE, dumps('BsBB', [406, 'PRECONDITION_FAILED - late', 60, 80]))
    (error,) = end.owner.told
    assert isinstance(error, PreconditionFailed)
    assert 'late' in str(error)


def test_what_is_not_ours_goes_to_amqp(end: End) -> None:
    """Answers to its own methods, and everything on channels without an owner."""
    end.method((20, 11), b'\0\0\0\0')
    end.method(ACK, struct.pack('>QB', 1, 0), channel=2)
    assert [(call[0], call[1]) for call in end.called_back] == [(1, (20, 11)), (2, ACK)]


def test_a_lost_connection_wakes_who_waits_for_an_answer(end: End) -> None:
    """And who comes later does not wait at all."""
    end.wire.lose(TimeoutError('silent'))
    with pytest.raises(RecoverableConnectionError, match='silent'):
        end.wire.wait_progress(None)
