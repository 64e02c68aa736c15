"""The child's end of the pipe: jobs in their order, answers to who waits, errors as what they were."""

import os
import socket
from collections.abc import Iterator

import pytest

from greenmicro.errors import ConfigError, GreenmicroError, PublishError, StoppingError, UnroutableError
from greenmicro.messages import Publication
from greenmicro.pipe import Frames, Kind, dumps, frame, loads_plain
from greenmicro.servicepipe import ServicePipe


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
    [(kind, number, payload)] = Frames().cut(service.recv(1_000_000))
    assert (kind, number) == (Kind.REQUEST, 1)
    assert Publication(*loads_plain(payload)) == PUBLICATION
    assert pipe.has_job()
    assert pipe.next_job() == (Kind.JOB, 7, b'a')
    assert not pipe.has_job()
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
