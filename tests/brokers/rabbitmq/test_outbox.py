"""Outbox: everything in order, acks at the last moment, and nobody who writes can break it off."""

import socket
from collections.abc import Iterator

import gevent
import pytest
from amqp.exceptions import RecoverableConnectionError
from gevent.event import AsyncResult

from greenmicro.brokers.rabbitmq.outbox import Outbox


class End:
    """An outbox on one end of a socket pair."""

    def __init__(self) -> None:
        self.sock, self.peer = socket.socketpair()
        self.lost: AsyncResult[Exception] = AsyncResult()
        self.outbox = Outbox(self.sock, self.lost.set)

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
    assert isinstance(end.lost.get(timeout=5), OSError)


def test_nothing_is_written_after_close(end: End) -> None:
    """Who writes then is told so; a source is not asked."""
    end.outbox.close(TimeoutError('silent'))
    with pytest.raises(RecoverableConnectionError, match='silent'):
        end.outbox.write(b'x')
    end.outbox.write_from(lambda: pytest.fail('was asked'))
    gevent.idle()
