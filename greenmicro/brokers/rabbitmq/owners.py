"""ChannelOwner: who is told of what comes in on a channel."""

from __future__ import annotations

from amqp.exceptions import ChannelError

from greenmicro.brokers.rabbitmq.contents import Content


class ChannelOwner:
    """Is told of what comes in on a channel; on the reader's greenlet, which must not be blocked.

    Each does nothing here: a channel consumes or publishes, and never both.
    """

    def delivered(self, tag: int, redelivered: bool, names: tuple[str, str], content: Content) -> None:
        """Take a message: its delivery tag, and the names of its exchange and routing key."""

    def cancelled(self) -> None:
        """Hear that the broker has ended the consumer: its queue is gone, or moved."""

    def confirmed(self, tag: int, multiple: bool, accepted: bool) -> None:
        """Hear that the broker has (or has not) taken what was published with a tag."""

    def returned(self, why: str, names: tuple[str, str], content: Content) -> None:
        """Take back a mandatory message that no queue takes; its ack follows."""

    def closed(self, error: ChannelError) -> None:
        """Hear that the broker has closed the channel; it is no longer written to from now on."""
