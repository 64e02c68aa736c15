"""AckBatch: few frames, none for a tag that the broker does not know."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from greenmicro.brokers.rabbitmq.acks import AckBatch

FRAME = struct.Struct('>BHIHHQBB')
ACK, NACK = 80, 120


def frames(data: bytes) -> list[tuple[int, int, int]]:
    """Return (method, tag, flags) of each frame."""
    assert len(data) % FRAME.size == 0
    read = [FRAME.unpack_from(data, at) for at in range(0, len(data), FRAME.size)]
    assert all(frame[0] == 1 and frame[1] == 7 and frame[2] == 13 and frame[-1] == 0xCE for frame in read)
    return [(method, tag, flags) for _, _, _, _, method, tag, flags, _ in read]


def test_contiguous_tags_go_out_in_one_frame() -> None:
    """Ten acks from the first tag on are one frame with `multiple`."""
    batch = AckBatch(7)
    for tag in range(1, 11):
        batch.ack(tag)
    assert frames(batch.take()) == [(ACK, 10, 1)]


def test_an_unsettled_tag_ends_the_run() -> None:
    """What lies beyond an unsettled tag is acked one by one."""
    batch = AckBatch(7)
    for tag in (1, 2, 4, 5):
        batch.ack(tag)
    assert frames(batch.take()) == [(ACK, 2, 1), (ACK, 4, 0), (ACK, 5, 0)]


def test_a_run_closes_over_what_was_settled_before() -> None:
    """The tag that was missing is acked alone: the ones after it are settled, and so unknown by now."""
    batch = AckBatch(7)
    batch.ack(2)
    batch.take()
    batch.ack(1)
    batch.ack(3)
    assert frames(batch.take()) == [(ACK, 3, 1)]


def test_nacks_go_out_before_the_ack_that_covers_them() -> None:
    """A nacked tag inside a run is not acked by it."""
    batch = AckBatch(7)
    batch.ack(1)
    batch.nack(2)
    batch.ack(3)
    assert frames(batch.take()) == [(NACK, 2, 2), (ACK, 3, 1)]


class Model:
    """A channel of the broker: it refuses what it does not know, as RabbitMQ does (406)."""

    def __init__(self, delivered: int) -> None:
        self.unacked = set(range(1, delivered + 1))
        self.acked: set[int] = set()
        self.requeued: set[int] = set()

    def take(self, data: bytes) -> None:
        for method, tag, flags in frames(data):
            assert tag in self.unacked, f'unknown delivery tag {tag}'
            if method == NACK:
                assert flags == 2
                tags, into = {tag}, self.requeued
            else:
                tags = {one for one in self.unacked if one <= tag} if flags else {tag}
                into = self.acked
            self.unacked -= tags
            into |= tags


@given(st.permutations(range(1, 30)), st.sets(st.integers(1, 29)), st.sets(st.integers(0, 28)))
def test_every_tag_is_settled_once_and_as_said(order: list[int], nacked: set[int], flushes: set[int]) -> None:
    """In any order, with any nacks and writes in between, the broker ends with what was said."""
    batch, model = AckBatch(7), Model(29)
    for step, tag in enumerate(order):
        (batch.nack if tag in nacked else batch.ack)(tag)
        if step in flushes:
            model.take(batch.take())
    model.take(batch.take())
    assert not model.unacked
    assert model.requeued == nacked
