"""RabbitBroker: RabbitMQ behind the contract of brokers, one connection to consume, one to publish."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import gevent
from gevent.event import Event

from greenmicro.amqp.topology import Exchange, Subscription, dead_queue_of
from greenmicro.brokers.base import Broker, Lose, Receive
from greenmicro.brokers.rabbitmq.connection import Connection
from greenmicro.brokers.rabbitmq.consumer import RabbitConsumer
from greenmicro.brokers.rabbitmq.delays import Delays
from greenmicro.brokers.rabbitmq.link import Link
from greenmicro.brokers.rabbitmq.publisher import Publisher
from greenmicro.brokers.rabbitmq.republisher import Republisher
from greenmicro.messages import Publication
from greenmicro.settings import Settings


class RabbitBroker(Broker):
    """RabbitMQ, through kombu and amqp.

    Args:
        settings: The service's settings.
    """

    #: RabbitMQ's default of its `consumer_timeout`, which AMQP does not tell.
    consumer_timeout_s = 1_800.0

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._consumers: list[RabbitConsumer] = []
        self._link = Link(settings, 'consume', self._serve, self._lose, self._fail)
        self._publisher = Publisher(settings, self._fail)
        self._delays = Delays(self._publisher, settings.confirm_timeout_s)
        self._republisher = Republisher(self._publisher, self._delays)
        self._on_fatal: Callable[[Exception], None] | None = None

    def declare(self, exchange: Exchange) -> None:
        """Have an exchange declared on each publish channel; see the contract."""
        self._publisher.declare(exchange)
        self._delays.declare(exchange)

    def subscribe(self, subscription: Subscription, receive: Receive, lose: Lose) -> RabbitConsumer:
        """Add a queue to consume from; see the contract."""
        settings = self._settings
        consumer = RabbitConsumer(
            subscription,
            receive,
            lose,
            self._republisher,
            settings.reconnect_max_s,
            settings.max_crashes,
            self._fail,
        )
        self._consumers.append(consumer)
        self._publisher.know(dead_queue_of(subscription.queue))
        return consumer

    def start(self, on_fatal: Callable[[Exception], None]) -> None:
        """Connect in the background; see the contract."""
        self._on_fatal = on_fatal
        self._publisher.start()
        if self._consumers:
            self._link.start()

    def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Wait until all consume and publishing is possible; see the contract."""
        consuming = [one.ready for one in self._consumers if not one.sole]
        return _wait_all([self._publisher.ready, *consuming], timeout_s)

    def hindrances(self) -> Iterator[str]:
        """Say what keeps us from being ready; see the contract."""
        yield from self._publisher.hindrances()
        for consumer in self._consumers:
            yield from consumer.hindrances()

    def publish(self, publication: Publication) -> None:
        """Publish and return when it is confirmed; see the contract."""
        self._delays.publish(publication)

    def stop(self, timeout_s: float) -> None:
        """Cancel all consumers; see the contract."""
        passing = [consumer for consumer in self._consumers if not consumer.lasting]
        for consumer in passing:
            consumer.stop()
        _wait_all([consumer.stopped for consumer in passing], timeout_s)

    def close(self, timeout_s: float) -> None:
        """Send what waits, then disconnect; see the contract.

        The publish connection goes first: dead letters that it no longer takes are given back on the
        other one.
        """
        deadline = time.monotonic() + timeout_s
        self._republisher.wait(_left(deadline))
        self._publisher.close(_left(deadline))
        self._republisher.wait(_left(deadline))
        self._republisher.close()
        gevent.joinall([gevent.spawn(one.see_acks_out) for one in self._consumers], timeout=_left(deadline))
        self._link.close(_left(deadline))

    def _serve(self, connection: Connection) -> None:
        for consumer in self._consumers:
            consumer.serve(connection)

    def _lose(self, error: Exception) -> None:
        for consumer in self._consumers:
            consumer.lose_connection(error)

    def _fail(self, error: Exception) -> None:
        on_fatal, self._on_fatal = self._on_fatal, None
        if on_fatal is not None:
            on_fatal(error)


def _left(deadline: float) -> float:
    # A little even at the deadline: a goodbye takes a millisecond, and without it the broker has to
    # find out by itself that we are gone.
    return max(0.2, deadline - time.monotonic())


def _wait_all(events: list[Event], timeout_s: float | None) -> bool:
    return len(gevent.wait(events, timeout=timeout_s)) == len(events)
