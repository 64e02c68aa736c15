"""What one queue has delivered to us: unsettled, settled but unwritten, and in doubt."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable

from greenmicro.brokers.rabbitmq.acks import AckBatch
from greenmicro.brokers.rabbitmq.outbox import Source
from greenmicro.brokers.rabbitmq.redeliveries import AGE_S, Doubt, Doubts, key_of
from greenmicro.brokers.rabbitmq.suspects import Dropped
from greenmicro.messages import Message

#: The acks of no channel: what is put in is never asked for.
NOWHERE = 0
#: So many entries are remembered for each message of the prefetch: those of a few channels lost in a row.
DOUBTS_PER_PREFETCH = 16
#: A broker that is killed has acks in its memory that are not on its disk yet, and delivers those messages
#: again when it is back: of a classic queue that is never idle all those that its journal has room for [3.10:
#: 32,768 entries, two a message; 850 that were up to 4 s old ran again]. So many are known.
UNSAVED_MOST = 16_384
#: A process that ends has left no more than its prefetch, which comes before all else. So in a row that came
#: to others before, those beyond what a few processes can have left are no suspects. A killed broker flags
#: all that it finds in a classic queue [3.10]: killed twice, together with its service, it had 3,000 messages
#: go on one at a time, at one a second.
SUSPECTS_PER_PREFETCH = 4


class Delivery:
    """Where a message's settlement goes: the channel that it came on, and its tag there.

    Attributes:
        dropped: Whether its channel was lost before it was worked on: the broker delivers it again.
        key: What its redelivery is known by, once that was asked; None before.
        generation: Which of the queue's channels it was; a lost one is never written to.
        tag: The delivery tag.
        started: Whether it is being worked on; it is then not dropped when its channel is lost.
        doubt: Its entry, once its channel was lost while it was worked on.
        suspect: Whether it was delivered before, to a process that ended with it for all that is known here.
    """

    __slots__ = ('doubt', 'dropped', 'generation', 'key', 'started', 'suspect', 'tag')

    def __init__(self, generation: int, tag: int) -> None:
        self.generation = generation
        self.tag = tag
        self.key: Hashable = None
        self.started = False
        self.dropped = False
        self.doubt: Doubt | None = None
        self.suspect = False

    def __repr__(self) -> str:
        return f'<Delivery {self.tag} of generation {self.generation}>'


class Deliveries:
    """Keeps account of a queue's deliveries over all the channels that it is read on.

    It does no I/O: acks are collected and handed to the connection's writer when it asks.

    Args:
        prefetch: How many deliveries may be unsettled at once.
        clock: Monotonic seconds.
    """

    def __init__(self, prefetch: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._prefetch = prefetch
        self._clock = clock
        self._generation = 0
        self._unsettled: dict[int, Message] = {}
        self._acks = AckBatch(NOWHERE)
        self._write_from: Callable[[Source], None] | None = None
        self._asked = False
        # Acked, and not asked for by the writer yet.
        self._unwritten: list[Message] = []
        # Handed to the writer: when, and the message's key.
        self._written: deque[tuple[float, Hashable]] = deque(maxlen=max(prefetch, UNSAVED_MOST))
        limit = max(DOUBTS_PER_PREFETCH * prefetch, UNSAVED_MOST)
        self._written_at = float('-inf')
        self._suspects = 0  # in a row
        self._doubts = Doubts(limit, clock)
        self._dropped = Dropped(limit, clock)

    def open(self, channel: int, write_from: Callable[[Source], None]) -> None:
        """Begin a new generation, on a channel that is about to consume."""
        self._generation += 1
        self._acks = AckBatch(channel)
        self._write_from = write_from
        self._asked = False

    def lose(self) -> None:
        """End the generation: what has not started is dropped, the rest is in doubt."""
        self._generation += 1
        self._write_from = None
        self._dropped.expect_unseen(self._prefetch - len(self._unsettled))
        self._doubts.add_written(self._unsure())
        self._acks = AckBatch(NOWHERE)
        unsettled, self._unsettled = self._unsettled, {}
        unwritten, self._unwritten = self._unwritten, []
        for message in unwritten:
            self._doubts.add(_key(message), None, owed=True)
        for message in unsettled.values():
            if message.delivery.started:
                message.delivery.doubt = self._doubts.add(_key(message), message, owed=True)
            else:
                message.delivery.dropped = True
                self._dropped.add(_key(message))

    def _unsure(self) -> list[Hashable]:
        """Take the keys of those whose ack was written, and may not have arrived, or not been saved."""
        # No older than a connection that is dead can go unnoticed.
        oldest = self._clock() - AGE_S
        written, self._written = self._written, deque(maxlen=self._written.maxlen)
        return [key for when, key in written if when >= oldest]

    def take_in(self, message: Message) -> bool:
        """Take a delivery on the present channel.

        Args:
            message: What came, with its `Delivery`.

        Returns:
            Whether it is to be run. If not, it is running here, and that run's settlement is now this
            delivery's; or it has finished here, and is acked.
        """
        if message.redelivered:
            key = message.delivery.key = key_of(message)
            unrun = self._dropped.take(key)
            if doubt := self._doubts.take(key, certainly=unrun):
                if unrun:
                    self._dropped.add(key)
                self._settle_by(doubt, message)
                return False
            message.delivery.suspect = not unrun and not self._dropped.take_unseen() and self._suspect_more()
        else:
            self._suspects = 0
            self._dropped.note_new()
            if self._doubts:
                self._doubts.note_new(message)
        self._unsettled[message.delivery.tag] = message
        return True

    def _suspect_more(self) -> bool:
        """Count one more in a row that came to another process; say whether that may have died of it."""
        self._suspects += 1
        return self._suspects <= SUSPECTS_PER_PREFETCH * self._prefetch

    def delivery(self, tag: int) -> Delivery:
        """Return the handle of a delivery on the present channel."""
        return Delivery(self._generation, tag)

    def begin(self, message: Message) -> bool:
        """Mark a message as being worked on; False if its channel was lost before it ever was."""
        delivery: Delivery = message.delivery
        if delivery.generation != self._generation:
            return delivery.started
        delivery.started = True
        return True

    def ack(self, message: Message) -> None:
        """Settle a message for good."""
        delivery: Delivery = message.delivery
        if self._close(message):
            self._ack(message)
        elif delivery.doubt is not None:
            self._doubts.finish(delivery.doubt)  # its next delivery is acked
            delivery.doubt = None

    def give_back(self, message: Message) -> None:
        """Put a message back into its queue."""
        delivery: Delivery = message.delivery
        if self._close(message):
            self._dropped.add(_key(message))
            self._acks.nack(delivery.tag)
            self._ask_to_write()
        elif delivery.doubt is not None:
            self._doubts.forget(delivery.doubt)  # its next delivery is run
            self._dropped.add(delivery.doubt.key)
            delivery.doubt = None

    def holds(self, message: Message) -> bool:
        """Say whether a message is still to be settled, on this channel or by its redelivery."""
        delivery: Delivery = message.delivery
        return self._unsettled.get(delivery.tag) is message or delivery.doubt is not None

    @property
    def unsettled(self) -> int:
        """How many deliveries of the present channel are unsettled."""
        return len(self._unsettled)

    def since_written_s(self) -> float:
        """Say for how many seconds no settlement was handed to the writer; 0 while one waits for it."""
        return 0.0 if self._acks.pending else self._clock() - self._written_at

    def _close(self, message: Message) -> bool:
        """Take a message off the present channel's unsettled ones; False if it is none of them."""
        tag = message.delivery.tag
        # Tags begin anew on each channel: that of a lost one's message may be another message's now.
        if self._unsettled.get(tag) is not message:
            return False
        del self._unsettled[tag]
        return True

    def _settle_by(self, doubt: Doubt, message: Message) -> None:
        running = doubt.message
        if running is None:
            self._ack(message)
            return
        running.delivery.generation = message.delivery.generation
        running.delivery.tag = message.delivery.tag
        running.delivery.doubt = None
        self._unsettled[message.delivery.tag] = running

    def _ack(self, message: Message) -> None:
        self._unwritten.append(message)
        self._acks.ack(message.delivery.tag)
        if not self._asked:
            self._ask_to_write()

    def _ask_to_write(self) -> None:
        if not self._asked and self._write_from is not None:
            self._asked = True
            self._write_from(self._take_acks)

    def _take_acks(self) -> bytes:
        now = self._written_at = self._clock()
        self._written.extend(
            [
                (now, message.delivery.key or key_of(message))
                for message in self._unwritten
                if message.properties.get('message_id') is not None
            ]
        )
        self._unwritten.clear()
        self._asked = False
        return self._acks.take()


def _key(message: Message) -> Hashable:
    return message.delivery.key or key_of(message)
