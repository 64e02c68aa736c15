"""Republisher: moves messages on to another queue, or to the end of their own, then acks them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore
from gevent.pool import Group

from greenmicro.brokers.rabbitmq.backoff import REFUSED_RETRY_S, backoff
from greenmicro.brokers.rabbitmq.delays import SETTLED_S, Delays
from greenmicro.brokers.rabbitmq.deliveries import Deliveries
from greenmicro.brokers.rabbitmq.publisher import Publisher
from greenmicro.errors import (
    BrokerError,
    PayloadError,
    PublishError,
    RefusedError,
    StoppingError,
    UnroutableError,
)
from greenmicro.messages import ATTEMPT_HEADER, CRASHES_HEADER, SUSPICIONS_HEADER, Message, Publication

logger = logging.getLogger(__name__)

#: The longest delay, in seconds, between two tries to write a message.
RETRY_MAX_S = 5.0
#: So many are on their way at once, however many messages fail together: of the publisher's window targets
#: need the most.
AT_ONCE = 1_000
#: Of headers that AMQP cannot carry on, our own are kept, cut to this length.
SLIM_HEADER = 10_000


class Republisher:
    """Publishes messages elsewhere, each in a greenlet of its own, for as long as it takes; then acks.

    Args:
        publisher: Declares dead queues that are missing.
        delays: Publishes, confirmed and mandatory.
    """

    def __init__(self, publisher: Publisher, delays: Delays) -> None:
        self._publisher = publisher
        self._delays = delays
        self._moving = Group()
        self._turn = BoundedSemaphore(AT_ONCE)
        self._staying: Counter[str] = Counter()
        self._told: dict[str, set[str]] = {}
        self._declaring: dict[str, Any] = {}

    def move(
        self,
        message: Message,
        publication: Publication,
        deliveries: Deliveries,
        refused: Callable[[Message], None] | None = None,
    ) -> Any:
        """Publish, then ack; returns at once. A message whose channel was lost meanwhile is let be.

        Args:
            message: What is moved.
            publication: Its new form, to a queue through the default exchange.
            deliveries: Where it is acked, or given back once the publisher is closed.
            refused: Gets the message, unmoved, if the queue refuses its new form, or the broker takes nothing
                for now; else it is tried again.

        Returns:
            The greenlet that does it; None if it is let be, or refused at once.
        """
        if refused is not None and self._publisher.blocked:
            refused(message)
            return None
        # From now on it is being worked on: were it dropped with its channel, it would go on from both.
        if not deliveries.begin(message):
            return None
        return self._moving.spawn(self._move, message, publication, deliveries, refused)

    def wait(self, timeout_s: float) -> None:
        """Wait for what is being moved."""
        self._moving.join(timeout_s)

    def close(self) -> None:
        """Give up on what could not be moved."""
        self._moving.kill()

    def _move(
        self,
        message: Message,
        publication: Publication,
        deliveries: Deliveries,
        refused: Callable[[Message], None] | None,
    ) -> None:
        queue = publication.routing_key
        waits = backoff(RETRY_MAX_S)
        stays = 0
        while True:
            self._wait_until_declared(queue)
            try:
                self._publish(message, publication)
            except StoppingError:
                deliveries.give_back(message)
                break
            except PublishError as error:
                # An alarm may end only by what is consumed; what waited for it here would take all the room.
                if refused is not None and (isinstance(error, RefusedError) or self._publisher.blocked):
                    refused(message)
                    break
                self._staying[queue] += not stays
                stays = 1
                # The work queue itself is declared, and bound, by its consumer.
                if not isinstance(error, UnroutableError):
                    self._tell(queue, f'queue {queue}: {error}; the message stays')
                elif queue != message.queue:
                    self._declare(queue)
                gevent.sleep(next(waits))
            else:
                deliveries.ack(message)
                break
        if stays:  # else nothing was noted; replies have a key for each caller that there ever was
            self._staying[queue] -= 1
            if not self._staying[queue]:
                del self._staying[queue]
                self._told.pop(queue, None)

    def _publish(self, message: Message, publication: Publication) -> None:
        """Publish, with less of its headers where AMQP cannot carry them."""
        forms = slimmer(publication)
        while True:
            try:
                # What waits to try again has left its turn: one queue in trouble holds no other up.
                with self._turn:
                    self._delays.publish(publication)
                return
            except PayloadError as error:
                publication = next(forms)
                logger.warning('%r goes on without its headers: %s', message, error)

    def _declare(self, queue: str) -> None:
        """Have a queue declared that is missing, once for all that are to go to it."""
        if queue not in self._declaring:
            self._declaring[queue] = gevent.spawn(self._see_declared, queue)
        self._wait_until_declared(queue)

    def _wait_until_declared(self, queue: str) -> None:
        errand = self._declaring.get(queue)
        if errand is not None:
            errand.join()

    def _see_declared(self, queue: str) -> None:
        try:
            declared = self._publisher.declare_queue(queue)
            if declared.arguments.get('x-queue-type') == 'quorum':
                gevent.sleep(SETTLED_S)
        except (BrokerError, PublishError) as error:
            self._tell(queue, f'queue {queue} is missing and cannot be declared: {error}')
            gevent.sleep(REFUSED_RETRY_S)
        finally:
            del self._declaring[queue]

    def _tell(self, queue: str, trouble: str) -> None:
        """Say why messages stay, once for all that are to go to one queue."""
        told = self._told.setdefault(queue, set())
        if trouble not in told:
            told.add(trouble)
            logger.error('%s', trouble)


def slimmer(publication: Publication) -> Iterator[Publication]:
    """Yield forms of a publication with ever less of what AMQP may not be able to carry.

    What can be read cannot always be written: numbers beyond 63 bits, headers that fill a frame as they
    are. The message must go on all the same.
    """
    headers = {
        key: value[:SLIM_HEADER] if isinstance(value, str) else value
        for key, value in publication.headers.items()
        if key.startswith('greenmicro.') and isinstance(value, (str, int))
    }
    yield publication._replace(headers=headers)
    counts = (ATTEMPT_HEADER, CRASHES_HEADER, SUSPICIONS_HEADER)
    counted = publication._replace(headers={key: headers[key] for key in counts if key in headers})
    yield counted
    yield counted._replace(properties={'delivery_mode': 2})
