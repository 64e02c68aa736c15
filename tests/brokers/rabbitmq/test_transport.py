"""BufferedFrames: whole frames from whatever pieces the network makes of them."""

import socket
from collections.abc import Iterator

import gevent
import pytest
from amqp.exceptions import UnexpectedFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from greenmicro.brokers.rabbitmq import transport
from greenmicro.brokers.rabbitmq.frames import BODY, HEARTBEAT_FRAME, KINDS, pack_frame
from greenmicro.brokers.rabbitmq.transport import FRAME_LIMIT, FRAMES_AT_ONCE, READ_SIZE, BufferedFrames

FRAMES = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 65_535), st.binary(max_size=300)), max_size=20
)


class Pair:
    """A reader on one end of a socket pair."""

    def __init__(self) -> None:
        mine, self.peer = socket.socketpair()
        self.reader = BufferedFrames()
        self.reader.sock = mine

    def close(self) -> None:
        self.reader.sock.close()
        self.peer.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


class Slices:
    """Stands for a socket: gives what is asked for in slices of given sizes."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.data = data
        self.position = 0
        self.sizes = sizes

    def recv(self, most: int) -> bytes:
        size = min(self.sizes.pop(0), most) if self.sizes else most
        self.position += size
        return self.data[self.position - size : self.position]


@given(FRAMES, st.lists(st.integers(1, 40), max_size=200))
@settings(deadline=None)
def test_frames_come_whole_in_any_slices(frames: list[tuple[int, int, bytes]], sizes: list[int]) -> None:
    """However the stream is cut, the same frames come out, and its end is an error."""
    reader = BufferedFrames()
    reader.sock = Slices(b''.join(pack_frame(*frame) for frame in frames), sizes)
    assert [reader.read_frame() for _ in frames] == frames
    with pytest.raises(ConnectionResetError):
        reader.read_frame()


@given(FRAMES, st.lists(st.integers(1, 400), max_size=50), st.integers(0, 3))
@settings(deadline=None)
def test_frames_come_as_far_as_they_are_there(
    frames: list[tuple[int, int, bytes]], sizes: list[int], first: int
) -> None:
    """Those that are read together are the same, in order, after some that were read one by one."""
    reader = BufferedFrames()
    reader.sock = Slices(b''.join(pack_frame(*frame) for frame in frames), sizes)
    read = [reader.read_frame() for _ in frames[:first]]
    while len(read) < len(frames):
        read += reader.read_frames()
    assert read == frames


def test_as_many_frames_at_a_time_as_leave_the_hub_its_turn() -> None:
    """A read that brings thousands of small frames hands them over in parts."""
    reader = BufferedFrames()
    reader.sock = Slices(HEARTBEAT_FRAME * (2 * FRAMES_AT_ONCE + 1), [])
    assert [len(reader.read_frames()) for _ in range(3)] == [FRAMES_AT_ONCE, FRAMES_AT_ONCE, 1]


def test_what_comes_before_a_frame_that_is_none_is_handed_over() -> None:
    """The frames that were whole are not lost by what follows them."""
    reader = BufferedFrames()
    reader.sock = Slices(HEARTBEAT_FRAME * 2 + HEARTBEAT_FRAME[:-1] + b'?', [])
    assert len(reader.read_frames()) == 2
    with pytest.raises(UnexpectedFrame, match='0x3f'):
        reader.read_frames()


@pytest.mark.parametrize('size', [0, 1, READ_SIZE - 8, READ_SIZE, READ_SIZE + 1, 3 * READ_SIZE, 5_000_000])
@pytest.mark.parametrize('slice_size', [1_448, READ_SIZE])
def test_large_frames(size: int, slice_size: int) -> None:
    """Frames below, at and above the size of one read come whole, and so does what follows them."""
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    data = pack_frame(BODY, 1, body) + HEARTBEAT_FRAME
    reader = BufferedFrames()
    reader.sock = Slices(data, [slice_size] * (len(data) // slice_size + 2))
    assert reader.read_frame() == (BODY, 1, body)
    assert reader.read_frame() == (8, 0, b'')


@pytest.mark.parametrize('size', [200, 3 * READ_SIZE])
def test_interrupted_reader_loses_nothing(pair: Pair, size: int) -> None:
    """A reader that is timed out or killed in the middle of a frame goes on where it was."""
    data = pack_frame(BODY, 1, bytes(size))
    half = len(data) // 2
    writer = gevent.spawn(pair.peer.sendall, data[:half])
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.02):
        pair.reader.read_frame()
    writer.join()
    killed = gevent.spawn(pair.reader.read_frame)
    gevent.idle()
    killed.kill()
    gevent.spawn(pair.peer.sendall, data[half:])
    assert pair.reader.read_frame() == (BODY, 1, bytes(size))


@pytest.mark.parametrize('sent', [b'', pack_frame(BODY, 1, bytes(1_000_000))[:500_000]])
def test_end_of_the_stream_is_a_lost_connection(pair: Pair, sent: bytes) -> None:
    """Between frames or inside one."""
    gevent.spawn(lambda: (pair.peer.sendall(sent), pair.peer.close()))
    with pytest.raises(ConnectionResetError):
        pair.reader.read_frame()


@pytest.mark.parametrize(
    'sent',
    [
        b'HTTP/1.1 400 Bad Request\r\n',
        b'AMQP\x00\x00\x09\x01',
        pack_frame(BODY, 1, b'12345')[:-1] + b'\xcd',
        BODY.to_bytes(1, 'big') + b'\0\1' + (FRAME_LIMIT + 1).to_bytes(4, 'big'),
    ],
)
def test_what_is_no_amqp_is_refused_at_once(pair: Pair, sent: bytes) -> None:
    """Nothing is waited for or kept in memory that a peer only claims to send."""
    pair.peer.sendall(sent)
    with pytest.raises(UnexpectedFrame):
        pair.reader.read_frame()


def test_a_port_that_speaks_tls_is_named(pair: Pair) -> None:
    """What it answers to AMQP is an alert, protocol version."""
    pair.peer.sendall(bytes([21, 3, 3, 0, 2, 2, 70]))
    with pytest.raises(UnexpectedFrame, match='the URI should begin with amqps'):
        pair.reader.read_frame()


def test_a_busy_reader_lets_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its socket always has data, it yields after each turn."""
    monkeypatch.setattr(transport, 'TURN_S', 0.0)
    reader = BufferedFrames()
    reader.sock = Slices(HEARTBEAT_FRAME * 1000, [4] * 2000)
    turns = 0

    def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0)

    greenlet = gevent.spawn(other)
    for _ in range(1000):
        reader.read_frame()
    greenlet.kill()
    assert turns > 100
