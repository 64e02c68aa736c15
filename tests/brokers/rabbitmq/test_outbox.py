"""Outbox: everything in order, acks at the last moment, and nobody who writes can break it off."""

import socket
import time
from collections.abc import Callable, Iterator

import gevent
import pytest
from amqp.exceptions import RecoverableConnectionError
from gevent import monkey
from gevent.event import AsyncResult

from greenmicro.brokers.rabbitmq.frames import BODY, HEARTBEAT, HEARTBEAT_FRAME, pack_frame
from greenmicro.brokers.rabbitmq.outbox import MANY, SMALL, Outbox
from greenmicro.brokers.rabbitmq.transport import BufferedFrames, TCPTransport
from tests.support.patience import PATIENCE_S


class End:
    """An outbox on one end of a socket pair."""

    def __init__(self) -> None:
        self.sock, self.peer = socket.socketpair()
        self.lost: AsyncResult[Exception] = AsyncResult()
        self.transport = TCPTransport('')
        self.transport.sock = self.sock
        self.outbox = Outbox(self.transport, self.lost.set)

    def read(self, size: int) -> bytes:
        data = b''
        while len(data) < size:
            data += self.peer.recv(size - len(data))
        return data


@pytest.fixture
def end() -> Iterator[End]:
    made = End()
    yield made
    made.outbox.close(RuntimeError('the test is over'))
    made.sock.close()
    made.peer.close()


def test_a_source_keeps_its_place(end: End) -> None:
    """Acks that were asked for before the connection's close go before it."""
    collected = [b'ack 1 ']
    end.outbox.write(b'publish ')
    end.outbox.write_from(lambda: b''.join(collected))
    end.outbox.write(b'close')
    collected.append(b'ack 2 ')
    assert end.read(25) == b'publish ack 1 ack 2 close'


def test_many_small_writes_do_not_wait_for_the_writer(end: End) -> None:
    """As many as make it worth a call of the system; those after them do again."""
    for _ in range(MANY + 1):
        end.outbox.write(b'small ')
    end.peer.settimeout(0)
    assert end.peer.recv(10_000) == b'small ' * MANY
    end.peer.settimeout(PATIENCE_S)
    assert end.read(6) == b'small '


def test_what_does_not_fit_goes_before_what_comes_later(end: End) -> None:
    """Small and large writes, far more than the socket takes: whole, in order, and nothing twice."""
    frames = [bytes([number % 251]) * (SMALL + 1 if number % 100 == 0 else 300) for number in range(5_000)]
    for frame in frames[:4_000]:
        end.outbox.write(frame)
    written = gevent.spawn(lambda: [(end.outbox.write(frame), gevent.sleep(0)) for frame in frames[4_000:]])
    whole = b''.join(frames)
    assert end.read(len(whole)) == whole
    written.get(timeout=PATIENCE_S)


def test_small_writes_tell_of_a_lost_connection(end: End) -> None:
    """By the writer, as large ones do: who writes goes on."""
    end.peer.close()
    for _ in range(3 * MANY):
        end.outbox.write(b'small')
    assert isinstance(end.lost.get(timeout=PATIENCE_S), OSError)


def test_a_killed_caller_leaves_no_half_frame(end: End) -> None:
    """Of 50 greenlets killed right after they wrote, each message is whole and in order."""
    large = [bytes([number]) * 100_000 for number in range(50)]
    writers = [gevent.spawn(end.outbox.write, data) for data in large]
    gevent.joinall(writers)
    gevent.killall(writers)
    assert end.read(5_000_000) == b''.join(large)


def test_a_lost_connection_is_told_once(end: End) -> None:
    """The writer ends, and says why."""
    end.peer.close()
    end.outbox.write(b'x' * 1_000_000)
    assert isinstance(end.lost.get(timeout=PATIENCE_S), OSError)


def test_nothing_is_written_after_close(end: End) -> None:
    """Who writes then is told so; a source is not asked."""
    end.outbox.close(TimeoutError('silent'))
    with pytest.raises(RecoverableConnectionError, match='silent'):
        end.outbox.write(b'x')
    end.outbox.write_from(lambda: pytest.fail('was asked'))
    gevent.idle()


def wait_without_the_hub(condition: Callable[[], bool]) -> None:
    sleep = monkey.get_original('time', 'sleep')
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        sleep(0.001)


def test_a_heartbeat_is_sent_at_once(end: End) -> None:
    """By whoever calls, without the writer; it counts as sent."""
    before = end.outbox.last_sent
    end.outbox.write_now(HEARTBEAT_FRAME)
    end.peer.settimeout(0)
    assert end.peer.recv(100) == HEARTBEAT_FRAME
    assert end.outbox.last_sent > before


def test_no_heartbeat_gets_into_a_frame_that_is_half_written(end: End) -> None:
    """Nor is it kept for later: what was written instead tells the broker as much."""
    large = bytes(2_000_000)
    end.outbox.write(large)
    gevent.idle()
    end.outbox.write_now(HEARTBEAT_FRAME)
    assert end.read(len(large)) == large
    gevent.idle()
    end.outbox.write_now(HEARTBEAT_FRAME)
    assert end.read(8) == HEARTBEAT_FRAME


def test_the_rest_of_a_heartbeat_goes_before_all_else(end: End) -> None:
    """If there was room for a part of it, or for nothing."""
    room = [3, 0, 2]
    end.outbox._send_now = lambda data: end.sock.send(data[: room.pop(0)])
    for _ in range(3):
        end.outbox.write_now(HEARTBEAT_FRAME)
    end.outbox.write(b'a frame')
    assert end.read(15) == HEARTBEAT_FRAME + b'a frame'
    end.outbox._send_now = end.transport.send_now
    end.outbox.write_now(HEARTBEAT_FRAME)
    assert end.read(8) == HEARTBEAT_FRAME


def test_no_heartbeat_is_sent_after_close(end: End) -> None:
    """Whether something was being written or not: another socket may have that descriptor by then."""
    end.outbox.write(b'first')
    assert end.read(5) == b'first'
    end.outbox.close(TimeoutError('silent'))
    end.outbox.write_now(HEARTBEAT_FRAME)
    end.peer.settimeout(0)
    with pytest.raises(BlockingIOError):
        end.peer.recv(100)


def test_a_close_in_the_middle_of_a_write_does_not_wait_for_it(end: End) -> None:
    """The peer may never read again; the writer ends with the socket."""
    end.outbox.write(bytes(2_000_000))
    gevent.idle()
    end.outbox.close(TimeoutError('silent'))
    end.outbox.write_now(HEARTBEAT_FRAME)
    end.sock.close()
    assert isinstance(end.lost.get(timeout=PATIENCE_S), OSError)


def test_a_thread_and_the_writer_share_the_socket(end: End) -> None:
    """With heartbeats at any moment from a thread, all frames arrive whole and in order."""
    frames = [
        pack_frame(BODY, 1, bytes([number % 256]) * (1 + number * 37 % 5_000)) for number in range(2_000)
    ]
    done = []

    def beat() -> None:
        while not done:
            end.outbox.write_now(HEARTBEAT_FRAME)
        done.append('beat')

    monkey.get_original('_thread', 'start_new_thread')(beat, ())
    reader = BufferedFrames()
    reader.sock = end.peer
    seen: list[bytes] = []

    def read() -> None:
        while len(seen) < len(frames):
            frame = reader.read_frame()
            if frame[0] != HEARTBEAT:
                seen.append(pack_frame(*frame))

    reading = gevent.spawn(read)
    for frame in frames:
        end.outbox.write(frame)
        gevent.sleep(0)
    reading.join(PATIENCE_S)
    done.append('written')
    wait_without_the_hub(lambda: 'beat' in done)
    assert seen == frames
