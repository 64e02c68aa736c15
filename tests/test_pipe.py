"""Frames, and what may be unpickled from a child."""

import datetime
import decimal
import os
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenmicro.messages import EMPTY, Message
from greenmicro.pipe import CHUNK, LARGE_CHUNK, Frames, Kind, dumps, frame, loads, loads_plain

HEADER_SIZE = len(frame(Kind.END))


class Own:
    """A class that is not of the standard library."""


SENT = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(max_size=300)), max_size=8
)


@given(SENT, st.lists(st.integers(1, 200)))
def test_frames_come_as_they_were_sent_however_they_are_cut(
    sent: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    data = b''.join(frame(*one) for one in sent)
    frames = Frames()
    received = []
    for cut in (*cuts, len(data)):
        received += frames.cut(data[:cut])
        data = data[cut:]
    assert received == sent


def test_a_frame_comes_with_its_last_byte() -> None:
    frames = Frames()
    *most, last = frame(Kind.JOB, 1, b'payload')
    assert not any(frames.cut(bytes([byte])) for byte in most)
    assert frames.cut(bytes([last])) == [(Kind.JOB, 1, b'payload')]


def test_of_a_large_frame_more_is_read_at_once_but_not_too_much() -> None:
    payload = os.urandom(5_000_000)
    frames, data, sizes = Frames(), frame(Kind.JOB, 1, payload) + frame(Kind.END), []
    received = []
    while data:
        sizes.append(frames.wanted)
        received += frames.cut(data[: sizes[-1]])
        data = data[sizes[-1] :]
    assert received == [(Kind.JOB, 1, payload), (Kind.END, 0, b'')]
    assert sizes == [CHUNK, *[LARGE_CHUNK] * 4, 5_000_000 + HEADER_SIZE - CHUNK - 4 * LARGE_CHUNK, CHUNK]


def test_a_payload_that_no_frame_can_hold_is_refused() -> None:
    class Endless(bytes):
        def __len__(self) -> int:
            return 2**32

    with pytest.raises(ValueError, match='4294967296'):
        frame(Kind.JOB, 1, Endless())


def test_values_of_the_standard_library_come_out_of_a_child() -> None:
    values = [1, 'a', b'b', None, {'a': (1.5,)}, datetime.datetime(2020, 1, 1), decimal.Decimal('1.5')]
    assert loads_plain(dumps(values)) == values


def test_the_service_imports_nothing_that_a_child_names() -> None:
    with pytest.raises(pickle.UnpicklingError, match='Own'):
        loads_plain(dumps(Own()))


def test_a_message_crosses_without_its_delivery_which_is_its_last_field() -> None:
    assert Message._fields[-1] == 'delivery'
    message = Message(b'body', {'message_id': 'a'}, EMPTY, 'exchange', 'key', 'queue', True, b'raw', object())
    assert Message(*loads(dumps(message[:-1]))) == message._replace(delivery=None)
