"""Frames, what may be unpickled from a child, and the child's end of the pipe."""

import datetime
import decimal
import os
import pickle
import socket
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenmicro.errors import ConfigError, GreenmicroError, PublishError, StoppingError, UnroutableError
from greenmicro.messages import EMPTY, Message, Publication
from greenmicro.pipe import Frames, Kind, ServicePipe, dumps, frame, loads, loads_plain


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


@pytest.fixture
def ends() -> Iterator[tuple[ServicePipe, socket.socket]]:
    """A child's end, and the service's; what is sent first is there when the child's end reads."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        os.set_blocking(theirs.fileno(), True)
        yield ServicePipe(theirs.fileno()), ours


PUBLICATION = Publication('exchange', 'key', b'body', {'message_id': 'a'}, {}, True)


def test_jobs_come_in_their_order_until_the_end(ends: tuple[ServicePipe, socket.socket]) -> None:
    pipe, service = ends
    service.sendall(frame(Kind.JOB, 1, b'a') + frame(Kind.JOB, 2, b'b') + frame(Kind.END))
    assert [pipe.next_job() for _ in range(4)] == [(Kind.JOB, 1, b'a'), (Kind.JOB, 2, b'b'), None, None]


def test_jobs_that_come_before_an_answer_are_kept(ends: tuple[ServicePipe, socket.socket]) -> None:
    pipe, service = ends
    service.sendall(frame(Kind.JOB, 7, b'a') + frame(Kind.ANSWER, 1) + frame(Kind.END))
    pipe.publish(PUBLICATION)
    sent = Frames(service.recv).read()
    assert sent is not None
    assert sent[:2] == (Kind.REQUEST, 1)
    assert Publication(*loads_plain(sent[2])) == PUBLICATION
    assert pipe.next_job() == (Kind.JOB, 7, b'a')
    assert pipe.next_job() is None


@pytest.mark.parametrize('kind', [StoppingError, UnroutableError, ConfigError, GreenmicroError])
def test_an_error_of_ours_is_raised_as_what_it_was(
    ends: tuple[ServicePipe, socket.socket], kind: type[Exception]
) -> None:
    pipe, service = ends
    service.sendall(frame(Kind.ANSWER, 1, dumps((kind.__name__, 'why'))))
    with pytest.raises(kind, match=r'^why$') as caught:
        pipe.publish(PUBLICATION)
    assert type(caught.value) is kind


@pytest.mark.parametrize('name', ['KeyError', 'TargetTimeoutError', 'Sequence', '__doc__'])
def test_another_error_is_raised_as_one_of_publishing(
    ends: tuple[ServicePipe, socket.socket], name: str
) -> None:
    pipe, service = ends
    service.sendall(frame(Kind.ANSWER, 1, dumps((name, 'why'))))
    with pytest.raises(PublishError, match=f'^{name}: why$'):
        pipe.publish(PUBLICATION)


def test_a_publication_that_does_not_pickle_was_not_sent(ends: tuple[ServicePipe, socket.socket]) -> None:
    pipe, service = ends
    with pytest.raises(PublishError, match='cannot leave'):
        pipe.publish(PUBLICATION._replace(headers={'odd': lambda: None}))
    service.setblocking(False)
    with pytest.raises(BlockingIOError):
        service.recv(1)
