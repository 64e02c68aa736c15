"""Vhost: the exchanges and queues of a broker inside the process, and the way of a message among them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from greenmicro.amqp.topology import Exchange, Queue, delay_of
from greenmicro.brokers.memory.deaths import after_death, goes_in_circles
from greenmicro.brokers.memory.dispatcher import Dispatcher
from greenmicro.brokers.memory.exchanges import KINDS, MemoryExchange
from greenmicro.brokers.memory.queues import Item, MemoryQueue
from greenmicro.brokers.memory.wire import carried_headers, carried_properties, check_name, time_to_live
from greenmicro.errors import BrokerError, PublishError, RefusedError, UnroutableError
from greenmicro.messages import Publication

#: The vhosts that were given a name, each as long as a broker is on it.
_named: dict[str, Vhost] = {}


def enter(name: str) -> Vhost:
    """Return the vhost of a name, which all of the process share; or a new one where there is no name."""
    vhost = _named.get(name) if name else None
    if vhost is None:
        vhost = Vhost(name)
        vhost.dispatcher.start()
        if name:
            _named[name] = vhost
    vhost.users += 1
    return vhost


def leave(vhost: Vhost, owner: object) -> None:
    """Let go of a vhost; what it holds is dropped with the last one who leaves."""
    for queue in [queue for queue in vhost.queues.values() if queue.owner is owner]:
        vhost.delete_queue(queue)
    vhost.users -= 1
    if not vhost.users:
        _named.pop(vhost.name, None)
        vhost.dispatcher.stop()
        for queue in list(vhost.queues.values()):
            vhost.delete_queue(queue)


class Vhost:
    """Exchanges and queues that know each other by name.

    Args:
        name: How services name it; '' for one that nobody shares.
        clock: Monotonic seconds; times-to-live are measured by it.

    Attributes:
        queues: By name.
        dispatcher: What delivers.
        users: How many brokers are on it.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.queues: dict[str, MemoryQueue] = {}
        self.dispatcher = Dispatcher()
        self.users = 0
        self._clock = clock
        self._exchanges: dict[str, MemoryExchange] = {}
        self._dead: deque[tuple[MemoryQueue, Item, str]] = deque()
        self._burying = False

    def __repr__(self) -> str:
        return f'<Vhost {self.name!r}, {len(self._exchanges)} exchanges, {len(self.queues)} queues>'

    def declare_exchange(self, declaration: Exchange) -> MemoryExchange:
        """Return the exchange of that name, made if it is not there.

        Raises:
            BrokerError: It is there with other properties, or not there and not to be declared.
        """
        name = declaration.name
        exchange = self._exchanges.get(name)
        if exchange is None:
            if not declaration.declared:
                raise BrokerError(f'exchange {name!r}: it does not exist, and is not to be declared here')
            if declaration.kind not in KINDS:
                raise BrokerError(f'exchange {name!r}: no kind {declaration.kind!r} here, only {list(KINDS)}')
            exchange = self._exchanges[name] = MemoryExchange(declaration)
        elif declaration.declared and exchange.declaration != declaration:
            raise BrokerError(f'exchange {name!r}: it exists as {exchange.declaration}, not as {declaration}')
        return exchange

    def declare_queue(self, declaration: Queue, owner: object) -> MemoryQueue:
        """Return the queue of that name, made if it is not there.

        Raises:
            BrokerError: It is there with other properties, or somebody else's alone, or is not there and not
                to be declared.
        """
        name = declaration.name
        queue = self.queues.get(name)
        if queue is None:
            if not declaration.declared:
                raise BrokerError(f'queue {name!r}: it does not exist, and is not to be declared here')
            whose = owner if declaration.exclusive else None
            queue = MemoryQueue(declaration, whose, self.dispatcher.wake, self._bury, self._clock)
            self.queues[name] = queue
        elif queue.owner not in (None, owner):
            raise BrokerError(f'queue {name!r}: it is exclusive to another service')
        elif declaration.declared and queue.declaration != declaration:
            raise BrokerError(f'queue {name!r}: it exists as {queue.declaration}, not as {declaration}')
        return queue

    def delete_queue(self, queue: MemoryQueue) -> None:
        """Drop a queue with all that waits in it, and its bindings."""
        self.queues.pop(queue.name, None)
        queue.delete()
        for exchange in list(self._exchanges.values()):
            if exchange.unbind(queue):
                del self._exchanges[exchange.declaration.name]

    def publish(self, publication: Publication) -> None:
        """Put a copy of a message into each queue that it is routed to; delivers nothing yet.

        Raises:
            PayloadError: AMQP cannot carry it.
            PublishError: There is no such exchange, no queue takes it, or one is full.
        """
        if publication.delay_s is not None:
            publication = self._held(publication, publication.delay_s)
        exchange, routing_key = publication.exchange, publication.routing_key
        check_name('routing key', routing_key)
        properties = carried_properties(publication.properties)
        headers = carried_headers(publication.headers)
        ttl_s = time_to_live(properties)
        queues = self._route(exchange, routing_key)
        if queues is None:
            raise PublishError(f'there is no exchange {exchange!r}; does anybody declare it?')
        if not queues and publication.mandatory:
            raise UnroutableError(f'no queue takes the message: {exchange!r} with {routing_key!r}')
        body = bytes(publication.body)
        full = [
            queue.name
            for queue in queues
            if not queue.put(Item(body, properties, headers, exchange, routing_key), ttl_s)
        ]
        if full:
            raise RefusedError(f'queue {full[0]!r} is full and refuses the message')

    def _held(self, publication: Publication, delay_s: float) -> Publication:
        """Declare where a message waits, and return it as it goes there."""
        delay = delay_of(publication.exchange, delay_s)
        # Straight back to its exchange: what nobody takes is dropped here, and holds nothing up.
        arguments = {**delay.queue.arguments, 'x-dead-letter-exchange': delay.target}
        queue = self.declare_queue(Queue(delay.queue.name, arguments=arguments), None)
        self.declare_exchange(delay.exchange).bind(queue, '')
        return publication._replace(exchange=delay.exchange.name, mandatory=True, delay_s=None)

    def _route(self, exchange: str, routing_key: str) -> Sequence[MemoryQueue] | None:
        if not exchange:
            queue = self.queues.get(routing_key)
            return () if queue is None else (queue,)
        found = self._exchanges.get(exchange)
        return None if found is None else found.route(routing_key)

    def _bury(self, queue: MemoryQueue, item: Item, reason: str) -> None:
        """Move a dropped message to where its queue sends such; one at a time, as that may drop others."""
        if 'x-dead-letter-exchange' not in queue.declaration.arguments:
            return
        self._dead.append((queue, item, reason))
        if self._burying:
            return
        self._burying = True
        try:
            while self._dead:
                self._dead_letter(*self._dead.popleft())
        finally:
            self._burying = False

    def _dead_letter(self, queue: MemoryQueue, item: Item, reason: str) -> None:
        arguments = queue.declaration.arguments
        exchange = arguments['x-dead-letter-exchange']
        routing_key = arguments.get('x-dead-letter-routing-key', item.routing_key)
        dead = after_death(item, queue.name, reason)
        for target in self._route(exchange, routing_key) or ():
            if not goes_in_circles(dead, target.name):
                target.put(Item(dead.body, dead.properties, dead.headers, exchange, routing_key), None)
