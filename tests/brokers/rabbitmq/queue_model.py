"""A model of one RabbitMQ queue, and of its channel to one consumer: what is delivered, flagged, lost."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from greenmicro.brokers.rabbitmq.acks import SETTLEMENT
from greenmicro.messages import ATTEMPT_HEADER

NACK = 120


class Content(NamedTuple):
    """All that a sender gave; two messages of the same content are told apart by nobody."""

    message_id: str | None
    body: bytes
    attempt: int
    moves: int

    @property
    def headers(self) -> dict[str, int]:
        """The application headers."""
        given = {ATTEMPT_HEADER: self.attempt, 'x-moves': self.moves}
        return {name: count for name, count in given.items() if count}


class Copy:
    """One message in the queue.

    Attributes:
        seen: Whether the consumer has read a delivery of it.
        deliveries: How often it came back to the queue, which a quorum queue tells.
    """

    def __init__(self, content: Content, place: int) -> None:
        self.content = content
        self.place = place
        self.redelivered = False
        self.seen = False
        self.deliveries = 0


class QueueModel:
    """The queue, the channel that it is consumed on, what is under way on it, and other consumers.

    Args:
        quorum: Whether what comes back goes first; else it goes to its old place.
        prefetch: How many messages may be out on a channel.
        unsaved_s: How old, in seconds, the acks can be that are forgotten when the broker is killed.
    """

    def __init__(self, quorum: bool, prefetch: int, unsaved_s: float) -> None:
        self.quorum = quorum
        self.prefetch = prefetch
        self.unsaved_s = unsaved_s
        self.clock = 0.0
        self.channel = 0
        self.ready: list[Copy] = []
        self.out: dict[int, Copy] = {}
        self.unnoticed: list[Copy] = []  # of channels whose loss the broker has not seen yet
        self.elsewhere: list[Copy] = []
        self.downstream: list[tuple[int, Copy]] = []
        self.upstream: list[tuple[float, bytes]] = []
        self.acks: list[tuple[float, Copy]] = []  # when they were written, in the order that they arrived
        self.acked: Counter[Content] = Counter()
        self.published = 0
        self._tag = 0

    def open(self) -> int:
        """Open the next channel, and return its number."""
        self.channel += 1
        self._tag = 0
        return self.channel

    def publish(self, content: Content) -> None:
        self.published += 1
        self.ready.append(Copy(content, self.published))

    def can_send(self) -> bool:
        return bool(self.ready) and len(self.out) < self.prefetch

    def send(self) -> None:
        """Send the next message to the consumer."""
        self._tag += 1
        copy = self.out[self._tag] = self.ready.pop(0)
        self.downstream.append((self._tag, copy))

    def send_elsewhere(self) -> None:
        self.elsewhere.append(self.ready.pop(0))

    def end_elsewhere(self, dies: bool) -> None:
        """Have another consumer settle its first message, or die with it."""
        copy = self.elsewhere.pop(0)
        if dies:
            self._requeue([copy])

    def write(self, data: bytes) -> None:
        """Take what the consumer wrote; it is on its way."""
        for at in range(0, len(data), SETTLEMENT.size):
            frame = data[at : at + SETTLEMENT.size]
            assert SETTLEMENT.unpack(frame)[1] == self.channel, 'written to a channel that was lost'
            self.upstream.append((self.clock, frame))

    def arrive(self, frames: int) -> None:
        """Have so many frames arrive."""
        arrived, self.upstream = self.upstream[:frames], self.upstream[frames:]
        for written, frame in arrived:
            _, _, _, _, method, tag, flags, _ = SETTLEMENT.unpack(frame)
            assert tag in self.out, '406: unknown delivery tag'
            single = method == NACK or not flags
            for one in [tag] if single else sorted(other for other in self.out if other <= tag):
                copy = self.out.pop(one)
                if method == NACK:
                    self._requeue([copy])
                else:
                    self.acked[copy.content] += 1
                    self.acks.append((written, copy))

    def lose(self, arrived: int, noticed: bool) -> None:
        """Lose the channel: of what is under way only so many frames arrive, and no delivery."""
        self.arrive(arrived)
        self.upstream.clear()
        self.downstream.clear()
        self.unnoticed += self.out.values()
        self.out = {}
        if noticed:
            self.notice()

    def notice(self) -> None:
        unnoticed, self.unnoticed = self.unnoticed, []
        self._requeue(unnoticed)

    def die(self, forgotten: int) -> None:
        """Be killed: all channels are lost, and so are so many acks that were not saved yet."""
        self.lose(len(self.upstream), noticed=True)
        self._requeue(self.elsewhere)
        self.elsewhere = []
        unsaved = [copy for written, copy in self.acks if written >= self.clock - self.unsaved_s]
        back = unsaved[len(unsaved) - forgotten :] if forgotten < len(unsaved) else unsaved
        for copy in back:
            self.acked[copy.content] -= 1
        self.acks.clear()
        self._requeue(back)
        if not self.quorum:  # a classic queue flags all that it finds on its disk
            for copy in self.ready:
                copy.redelivered = True

    def _requeue(self, copies: list[Copy]) -> None:
        for copy in copies:
            copy.redelivered = True
            copy.deliveries += 1
        self.ready[:0] = copies
        if not self.quorum:
            self.ready.sort(key=lambda copy: copy.place)
