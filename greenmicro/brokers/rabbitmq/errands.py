"""Errands: what is done on a channel of its own, so that a refusal takes no other's messages along."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amqp.exceptions import AMQPError, ChannelError

from greenmicro.brokers.rabbitmq.connection import Connection
from greenmicro.brokers.rabbitmq.owners import ChannelOwner
from greenmicro.errors import BrokerError, UnavailableError


class Errand(ChannelOwner):
    """Owns a channel for a moment, to hear why the broker closes it.

    Attributes:
        error: Why it did.
    """

    def __init__(self) -> None:
        self.error: ChannelError | None = None

    def closed(self, error: ChannelError) -> None:
        """Hear that the broker has closed the channel."""
        self.error = error


def run_errand(connection: Connection, run: Callable[[Any], None]) -> None:
    """Do something on a channel of its own; returns when the broker has answered.

    Args:
        connection: One that is not blocked: a broker in a resource alarm reads nothing of it, and so does not
            answer until the alarm ends.
        run: Does it, with amqp's channel.

    Raises:
        BrokerError: The broker refuses it; its cause says with which answer.
        UnavailableError: The connection is lost meanwhile.
    """
    errand = Errand()
    try:
        channel = connection.channel()
        connection.wire.owners[channel.channel_id] = errand
        run(channel)
        connection.wire.owners.pop(channel.channel_id, None)
        channel.close()
    except (AMQPError, OSError) as error:
        if errand.error is not None:
            raise BrokerError(str(errand.error)) from errand.error
        raise UnavailableError(f'the connection was lost meanwhile: {error}') from error
