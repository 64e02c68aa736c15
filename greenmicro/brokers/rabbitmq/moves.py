"""Moves: messages that go to the end of their own queue, and come back as copies of themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
from amqp.exceptions import AMQPError
from gevent.event import Event

from greenmicro.brokers.base import Receive
from greenmicro.brokers.rabbitmq.deliveries import Deliveries
from greenmicro.brokers.rabbitmq.republisher import Republisher
from greenmicro.messages import Message, Publication


class Moves:
    """Moves messages, and hands a copy on only when the broker has forgotten the original.

    A copy may be delivered before the ack of its original has left. Were it run then, and to end the
    process, both would live on: a message that kills took 3 to 6 processes with it instead of 3.

    Args:
        republisher: Carries them.
        deliveries: Where they are acked.
        settle: Returns when the broker has carried out what was written to the channel before.
        receive: Takes a copy that may run.
    """

    def __init__(
        self,
        republisher: Republisher,
        deliveries: Deliveries,
        settle: Callable[[], None],
        receive: Receive,
    ) -> None:
        self._republisher = republisher
        self._deliveries = deliveries
        self._settle = settle
        self._receive = receive
        self._moving: set[Any] = set()
        self._unsettled = False  # an original was acked, and the broker was not asked since
        self._waiting: list[Message] = []
        self._idle = Event()
        self._idle.set()

    def move(
        self, message: Message, publication: Publication, refused: Callable[[Message], None] | None = None
    ) -> None:
        """Move a message that is still to be settled; returns at once.

        Args:
            message: The message.
            publication: Its form at the end of its queue.
            refused: What is done with it where its queue is full, or the broker takes nothing for now; else
                it is handed on, to be run unmoved. It must not be tried again and again: it holds the place
                of one that would make room.
        """
        if not self._deliveries.holds(message):
            return
        greenlet = self._republisher.move(message, publication, self._deliveries, refused or self._receive)
        if greenlet is not None and not publication.delay_s:
            self._moving.add(greenlet)
            greenlet.rawlink(self._moved)

    def receive(self, message: Message) -> None:
        """Hand on what may be a copy, at once if no original is left; returns at once."""
        if not (self._moving or self._unsettled or self._waiting):
            self._receive(message)
            return
        self._waiting.append(message)
        if self._idle.is_set():
            self._idle.clear()
            gevent.spawn(self._release)

    def wait(self, timeout_s: float) -> None:
        """Wait until nothing waits here any more."""
        self._idle.wait(timeout_s)

    def _moved(self, greenlet: Any) -> None:
        self._moving.discard(greenlet)
        self._unsettled = True

    def _release(self) -> None:
        try:
            while self._waiting:
                # Those that are on their way by now; of what comes later these are no copies.
                waiting, self._waiting = self._waiting, []
                gevent.wait(list(self._moving))
                self._unsettled = False
                try:
                    self._settle()
                except (AMQPError, OSError):
                    pass  # the channel is lost: none of them is begun, and all come again
                for message in waiting:
                    self._receive(message)
        finally:
            self._idle.set()
