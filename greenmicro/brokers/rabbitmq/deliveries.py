"""What one queue has delivered to us: unsettled, settled but unwritten, and in doubt."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from greenmicro.brokers.rabbitmq.acks import AckBatch
from greenmicro.brokers.rabbitmq.redeliveries import Doubt, Doubts, id_key
from greenmicro.brokers.rabbitmq.wire import Content
from greenmicro.messages import Message

#: Has a source asked for its bytes right before the next write.
WriteFrom = Callable[[Callable[[], bytes]], None]


class Delivery:
    """Where a message's settlement goes: the channel that it came on, and its tag there.

    Attributes:
        generation: Which of the queue's channels it was; a lost one is never written to.
        tag: The delivery tag.
        started: Whether a worker has taken it up.
        doubt: Its entry, once its channel was lost while it ran.
    """

    __slots__ = ('doubt', 'generation', 'started', 'tag')

    def __init__(self, generation: int, tag: int) -> None:
        self.generation = generation
        self.tag = tag
        self.started = False
        self.doubt: Doubt | None = None


class Deliveries:
    """Keeps account of a queue's deliveries over all the channels that it is read on.

    It does no I/O: acks are collected and handed to the connection's writer when it asks.

    Args:
        queue: The queue's name.
        prefetch: How many deliveries may be unsettled at once.
    """

    def __init__(self, queue: str, prefetch: int) -> None:
        self._queue = queue
        self._generation = 0
        self._unsettled: dict[int, Message] = {}
        self._write_from: WriteFrom | None = None
        self._acks = AckBatch(0)
        self._unwritten: list[Message] = []
        # The broker never has more unsettled deliveries out than the prefetch, and writes arrive in
        # order: so these are all whose ack can have been lost on its way.
        self._written: deque[tuple[Mapping[str, Any], Mapping[str, Any], int]] = deque(maxlen=prefetch)
        self._doubts = Doubts(limit=4 * prefetch)

    def open(self, channel: int, write_from: WriteFrom) -> None:
        """Begin a new generation, on a channel that is about to consume."""
        self._generation += 1
        self._acks = AckBatch(channel)
        self._write_from = write_from

    def lose(self) -> None:
        """End the generation: what has not started is dropped, the rest is in doubt."""
        self._generation += 1
        self._write_from = None
        unsettled, self._unsettled = self._unsettled, {}
        for message in unsettled.values():
            if message.delivery.started:
                message.delivery.doubt = self._doubts.add_running(message)
        for message in self._unwritten:
            self._doubts.add_running(message).message = None  # finished, and certainly not written
        self._unwritten.clear()
        for properties, headers, size in self._written:
            if 'message_id' in properties:
                self._doubts.add_finished(id_key(properties, headers, size))
        self._written.clear()

    def take_in(
        self, tag: int, redelivered: bool, names: tuple[str, str], content: Content
    ) -> Message | None:
        """Take a delivery.

        Returns:
            The message that is to be run; None for one that is running here, whose settlement this
            delivery now gets, or that has finished here, which is acked.
        """
        delivery = Delivery(self._generation, tag)
        message = Message(
            content.body,
            content.properties,
            content.headers,
            *names,
            self._queue,
            redelivered,
            content.unreadable,
            delivery,
        )
        if self._doubts:
            if not redelivered:
                self._doubts.note_fresh(message)
            elif doubt := self._doubts.take(message):
                self._settle_by(doubt, message)
                return None
        self._unsettled[tag] = message
        return message

    def begin(self, message: Message) -> bool:
        """Mark a message as started; False if its channel was lost before."""
        delivery: Delivery = message.delivery
        if delivery.generation != self._generation:
            return delivery.started
        delivery.started = True
        return True

    def ack(self, message: Message) -> None:
        """Settle a message for good."""
        delivery: Delivery = message.delivery
        if self._unsettled.pop(delivery.tag, None) is not message:
            if delivery.doubt is not None:
                delivery.doubt.message = None  # its next delivery is acked
            return
        self._ack(message)

    def give_back(self, message: Message) -> None:
        """Put a message back into its queue."""
        delivery: Delivery = message.delivery
        if self._unsettled.pop(delivery.tag, None) is not message:
            if delivery.doubt is not None:
                self._doubts.forget(delivery.doubt)  # its next delivery is run
            return
        self._acks.nack(delivery.tag)
        self._ask_to_write()

    @property
    def unsettled(self) -> int:
        """How many deliveries of the present channel are unsettled."""
        return len(self._unsettled)

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
        self._ask_to_write()

    def _ask_to_write(self) -> None:
        if self._write_from is not None and self._acks.pending == 1:
            self._write_from(self._take_acks)

    def _take_acks(self) -> bytes:
        for message in self._unwritten:
            self._written.append((message.properties, message.headers, len(message.body)))
        self._unwritten.clear()
        return self._acks.take()
