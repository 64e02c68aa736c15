"""Why a queue cannot be consumed from at a moment: whether to try again, when, and what the log is told."""

from __future__ import annotations

import logging

from amqp.exceptions import AccessRefused, ChannelError, NotFound, PreconditionFailed, ResourceLocked

from greenmicro.amqp.topology import Subscription
from greenmicro.brokers.rabbitmq.backoff import REFUSED_RETRY_S, backoff

logger = logging.getLogger('greenmicro.brokers.rabbitmq.consumer')

#: What is wrong with the service rather than the moment: a permission, a missing exchange, arguments that
#: differ. A queue that is locked (405) is waited for.
PERMANENT = (AccessRefused, NotFound, PreconditionFailed)
#: ... and so is one whose node is down, which the broker says by a 404 as well.
NODE_DOWN = 'is down or inaccessible'


class Refusals:
    """Judges what keeps one queue from being consumed.

    Args:
        subscription: The queue.
        reconnect_max_s: The longest delay between two tries, in seconds.

    Attributes:
        told: What the log was told last; '' while it is consumed from.
        was_up: Whether it was ever consumed from.
    """

    def __init__(self, subscription: Subscription, reconnect_max_s: float) -> None:
        self._queue = subscription.queue.name
        self._declared = subscription.queue.declared
        self._sole = subscription.sole
        self._reconnect_max_s = reconnect_max_s
        self._delays = backoff(reconnect_max_s)
        self.told = ''
        self.was_up = False

    def note_up(self) -> None:
        """Note that it is consumed from."""
        if self.was_up:
            logger.info('queue %s: consuming again', self._queue)
        self.was_up = True
        self.told = ''
        self._delays = backoff(self._reconnect_max_s)

    def is_final(self, error: Exception | None) -> bool:
        """Say whether the broker refuses us for good; once it was consumed from, it never does."""
        permanent = isinstance(error, PERMANENT) and NODE_DOWN not in str(error)
        return permanent and not self._is_gone(error) and not self.was_up

    def tell(self, error: Exception | None) -> None:
        """Say why it is not consumed from, once for each change of state."""
        if self._sole and isinstance(error, ResourceLocked):
            logger.debug('queue %s: another one has it', self._queue)
        elif self.told != str(error):
            self.told = str(error)
            logger.warning('queue %s: not consuming (%s), trying again', self._queue, error)

    def delay_s(self, error: Exception | None, consumed: bool) -> float:
        """Say after how many seconds to try again.

        Args:
            error: What happened.
            consumed: Whether it was consumed from on the channel that is lost, and not refused.
        """
        if self._is_gone(error) or not isinstance(error, ChannelError):
            return next(self._delays)
        # Closed while it consumed (an ack that came too late), or refused.
        return self._reconnect_max_s if consumed or self._sole else REFUSED_RETRY_S

    def _is_gone(self, error: Exception | None) -> bool:
        """Say whether there is no queue, though it was declared: it was still being deleted then.

        RabbitMQ 4 cancels the consumers of a quorum queue a moment before it forgets it: 2 of 40 declarations
        found the old one, and its binding nothing.
        """
        missing = isinstance(error, NotFound) and f"no queue '{self._queue}'" in str(error)
        return missing and self._declared
