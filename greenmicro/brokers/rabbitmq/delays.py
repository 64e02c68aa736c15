"""Delays: publishes what the broker is to hold for a time, and declares where it waits before it is used."""

from __future__ import annotations

import time
from typing import Any

import gevent
from amqp.exceptions import NotFound

from greenmicro.amqp.topology import Delay, Exchange, Queue, delay_of
from greenmicro.brokers.rabbitmq.connection import Connection
from greenmicro.brokers.rabbitmq.errands import run_errand
from greenmicro.brokers.rabbitmq.publisher import Publisher
from greenmicro.brokers.rabbitmq.topology import kombu_exchange
from greenmicro.errors import BrokerError, PublishError, RefusedError, UnavailableError, UnroutableError
from greenmicro.messages import Publication

#: How old a quorum queue has to be, in seconds, before anything is entrusted to it: RabbitMQ 3.10, killed
#: (-9), forgets those that were declared in the last 0.9 s, together with what it had confirmed into them.
SETTLED_S = 1.0
#: How old, in seconds, what is known of an event's way out of its delay may be. Who deletes its exchange
#: takes our binding along, and no publish into the delay would tell.
BOUND_S = 5.0
#: How long to wait, in seconds, for a lost connection to be noticed and made anew.
POLL_S = 0.02


class Delays:
    """Publishes with and without a delay; what waits is in the broker, and nothing in this process.

    A delay is declared before its first use on each connection, and again when a publish finds it missing.

    Args:
        publisher: Publishes.
        confirm_timeout_s: How long a publish may take that does not say, in seconds.
    """

    def __init__(self, publisher: Publisher, confirm_timeout_s: float) -> None:
        self._publisher = publisher
        self._confirm_timeout_s = confirm_timeout_s
        self._exchanges: dict[str, Exchange] = {}
        # When, by the monotonic clock, and on which connection each was declared last.
        self._declared: dict[str, tuple[Connection, float]] = {}
        self._errands: dict[str, Any] = {}

    def declare(self, exchange: Exchange) -> None:
        """Have an exchange declared before delayed messages are to go to it."""
        self._exchanges[exchange.name] = exchange

    def publish(self, publication: Publication) -> None:
        """Publish, and return when the broker has confirmed it; see the contract of brokers."""
        if publication.delay_s is None:
            self._publisher.publish(publication)
            return
        delay = delay_of(publication.exchange, publication.delay_s)
        held = publication._replace(exchange=delay.exchange.name, mandatory=True, delay_s=None)
        limit_s = self._confirm_timeout_s if publication.timeout_s is None else publication.timeout_s
        deadline = time.monotonic() + limit_s
        try:
            self._publish(held, delay, deadline)
        except (UnroutableError, RefusedError):
            # Queue or exchange were deleted, or it is full, which cannot be told from a missing exchange.
            self._declared.pop(delay.exchange.name, None)
            self._publish(held, delay, deadline)

    def _publish(self, held: Publication, delay: Delay, deadline: float) -> None:
        if self._see_to(delay, deadline):
            deadline += SETTLED_S
        self._publisher.publish(held._replace(timeout_s=max(0.0, deadline - time.monotonic())))

    def _see_to(self, delay: Delay, deadline: float) -> bool:
        """Have a delay declared on the present connection, or on the next one if it is lost meanwhile.

        Returns:
            Whether that was to be waited for: its queue may have had to settle, on top of the deadline.
        """
        name = delay.exchange.name
        while True:
            self._publisher.ready.wait(max(0.0, deadline - time.monotonic()))
            connection = self._publisher.connection
            if connection is None:
                return False  # publishing says why
            known = self._declared.get(name)
            if known is not None and known[0] is connection:
                if delay.due is not None and time.monotonic() - known[1] > BOUND_S:
                    self._errand(connection, delay)
                return False
            errand = self._errand(connection, delay)
            errand.join(max(0.0, deadline + SETTLED_S - time.monotonic()))
            if not errand.ready():
                raise UnavailableError(f'{name} was not declared in time; the message was not sent')
            error = errand.value
            if error is None:
                return True
            if not isinstance(error, UnavailableError) or time.monotonic() > deadline:
                raise error
            gevent.sleep(POLL_S)

    def _errand(self, connection: Connection, delay: Delay) -> Any:
        """Begin to declare a delay, unless that is under way.

        Once for all who wait for it, and in a greenlet that no target's time limit ends half-way.
        """
        name = delay.exchange.name
        errand = self._errands.get(name)
        if errand is None or errand.dead:
            errand = self._errands[name] = gevent.spawn(self._declare, connection, delay)
        return errand

    def _declare(self, connection: Connection, delay: Delay) -> PublishError | None:
        """Declare a delay; return why it could not be, since gevent would print what is raised."""
        name = delay.exchange.name
        try:
            is_new = not _exists(connection, delay.queue)
            run_errand(connection, lambda channel: self._declare_on(channel, delay))
        except BrokerError as error:
            self._declared.pop(name, None)
            return RefusedError(f'{name} cannot be declared: {error}')
        except UnavailableError as error:
            return error
        if is_new:
            gevent.sleep(SETTLED_S)
        self._declared[name] = connection, time.monotonic()
        return None

    def _declare_on(self, channel: Any, delay: Delay) -> None:
        _declare_exchange(channel, delay.exchange)
        if delay.due is not None and delay.unheard is not None:
            if (target := self._exchanges.get(delay.target)) is not None:
                kombu_exchange(target)(channel).declare()
            _declare_exchange(channel, delay.due)
            channel.exchange_bind(delay.target, delay.due.name)
            _declare_queue(channel, delay.unheard, delay.due)
        # Last: from now on it sends to what is there already.
        _declare_queue(channel, delay.queue, delay.exchange)


def _exists(connection: Connection, queue: Queue) -> bool:
    try:
        run_errand(connection, lambda channel: channel.queue_declare(queue.name, passive=True))
    except BrokerError as error:
        if isinstance(error.__cause__, NotFound):
            return False
        raise
    return True


def _declare_exchange(channel: Any, exchange: Exchange) -> None:
    channel.exchange_declare(exchange.name, exchange.kind, durable=True, auto_delete=False)


def _declare_queue(channel: Any, queue: Queue, exchange: Exchange) -> None:
    channel.queue_declare(queue.name, durable=True, auto_delete=False, arguments=dict(queue.arguments))
    channel.queue_bind(queue.name, exchange.name)
