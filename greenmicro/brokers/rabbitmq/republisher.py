"""Republisher: moves messages on to another queue, or to the end of their own, then acks them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import gevent
from gevent.pool import Group

from greenmicro.brokers.rabbitmq.backoff import REFUSED_RETRY_S, backoff
from greenmicro.brokers.rabbitmq.deliveries import Deliveries
from greenmicro.brokers.rabbitmq.publisher import Publisher
from greenmicro.errors import BrokerError, PayloadError, PublishError, StoppingError, UnroutableError
from greenmicro.messages import ATTEMPT_HEADER, Message, Publication
from greenmicro.retry import ORIGIN_EXCHANGE, ORIGIN_ROUTING_KEY

logger = logging.getLogger(__name__)

#: The longest delay, in seconds, between two tries to write a message.
RETRY_MAX_S = 5.0
NOT_COPIED = frozenset(('x-delivery-count', 'x-acquired-count', 'CC', 'BCC'))
#: Of headers that AMQP cannot carry on, our own are kept, cut to this length.
SLIM_HEADER = 10_000


class Republisher:
    """Publishes messages elsewhere, each in a greenlet of its own, for as long as it takes; then acks.

    Args:
        publisher: Publishes them, confirmed and mandatory.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._moving = Group()

    def move(self, message: Message, publication: Publication, deliveries: Deliveries) -> None:
        """Publish, then ack; returns at once. A message whose channel was lost meanwhile is let be.

        Args:
            message: What is moved.
            publication: Its new form, to a queue through the default exchange.
            deliveries: Where it is acked, or given back once the publisher is closed.
        """
        # From now on it is being worked on: were it dropped with its channel, it would go on from both.
        if deliveries.begin(message):
            self._moving.spawn(self._move, message, publication, deliveries)

    def wait(self, timeout_s: float) -> None:
        """Wait for what is being moved."""
        self._moving.join(timeout_s)

    def close(self) -> None:
        """Give up on what could not be moved."""
        self._moving.kill()

    def _move(self, message: Message, publication: Publication, deliveries: Deliveries) -> None:
        delays = backoff(RETRY_MAX_S)
        forms = slimmer(publication)
        told = False
        while True:
            try:
                self._publisher.publish(publication)
            except PayloadError as error:
                publication = next(forms)
                logger.warning('%r goes on without its headers: %s', message, error)
            except StoppingError:
                deliveries.give_back(message)
                return
            except UnroutableError:
                # The work queue itself is declared, and bound, by its consumer.
                if publication.routing_key != message.queue:
                    self._declare(publication.routing_key)
                gevent.sleep(next(delays))
            except PublishError as error:
                if not told:
                    told = True
                    logger.error('queue %s: %s; the message stays', publication.routing_key, error)
                gevent.sleep(next(delays))
            else:
                deliveries.ack(message)
                return

    def _declare(self, queue: str) -> None:
        try:
            self._publisher.declare_queue(queue)
        except (BrokerError, PublishError) as error:
            logger.error('queue %s is missing and cannot be declared: %s', queue, error)
            gevent.sleep(REFUSED_RETRY_S)


def copy_of(message: Message) -> Publication:
    """Return a message as it is published to the end of its own queue.

    It keeps what its sender gave, but for the user id, which the broker refuses if it is not ours, the
    queue's count of its deliveries, which begins anew, and further receivers, who have had their copies.
    """
    headers = {key: value for key, value in message.headers.items() if key not in NOT_COPIED}
    headers[ORIGIN_EXCHANGE] = message.exchange
    headers[ORIGIN_ROUTING_KEY] = message.routing_key
    properties = {key: value for key, value in message.properties.items() if key != 'user_id'}
    return Publication('', message.queue, message.body, properties, headers, mandatory=True)


def names_of(message: Message) -> tuple[str, str]:
    """Return the exchange and routing key with which a message was first published."""
    exchange = message.headers.get(ORIGIN_EXCHANGE)
    routing_key = message.headers.get(ORIGIN_ROUTING_KEY)
    if message.exchange == '' and isinstance(exchange, str) and isinstance(routing_key, str):
        return exchange, routing_key
    return message.exchange, message.routing_key


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
    attempt = publication.headers.get(ATTEMPT_HEADER)
    yield publication._replace(headers={} if attempt is None else {ATTEMPT_HEADER: attempt})
    yield publication._replace(headers={}, properties={'delivery_mode': 2})
