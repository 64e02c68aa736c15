"""Frames, and what may be unpickled from a child."""

import datetime
import decimal
import os
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenmicro.messages import EMPTY, Message
from greenmicro.pipe import Frames, Kind, dumps, frame, loads, loads_plain


class Own:
    """A class that is not of the standard library."""


def fed(pieces: list[bytes]) -> Callable[[int], bytes]:
    """A receive function that returns these pieces, no more than it is asked for, then the end."""
    data = iter(pieces)
    rest = b''

    def receive(size: int) -> bytes:
        nonlocal rest
        rest = rest or next(data, b'')
        piece, rest = rest[:size], rest[size:]
        return piece

    return receive


SENT = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(max_size=300)), max_size=8
)


@given(SENT, st.lists(st.integers(1, 200)))
def test_frames_come_as_they_were_sent_however_they_are_cut(
    sent: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    data = b''.join(frame(*one) for one in sent)
    pieces = []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    frames = Frames(fed([piece for piece in (*pieces, data) if piece]))
    assert [frames.read() for _ in sent] == sent
    assert frames.read() is None


def test_half_a_frame_at_the_end_is_no_frame() -> None:
    data = frame(Kind.JOB, 1, b'payload')
    for length in range(len(data)):
        assert Frames(fed([data[:length]])).read() is None


def test_a_large_frame_comes_whole_with_what_follows_it() -> None:
    payload = os.urandom(5_000_000)
    frames = Frames(fed([frame(Kind.JOB, 1, payload) + frame(Kind.END)]))
    assert frames.read() == (Kind.JOB, 1, payload)
    assert frames.read() == (Kind.END, 0, b'')


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
