"""EventListener and QueueListener: run a route for each message of a queue."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from greenmicro.amqp.topology import (
    Exchange,
    Queue,
    Subscription,
    event_exchange,
    event_queue_name,
    length_fault,
    name_fault,
    passing_queue,
    queue_of_type,
    queue_type_fault,
    singleton_queue_name,
)
from greenmicro.dead_letters import dead_queue_name
from greenmicro.entrypoints import Entrypoint
from greenmicro.hosting import Service
from greenmicro.messages import Message, Outcome, Settlement
from greenmicro.routes import Route

if TYPE_CHECKING:
    from greenmicro.settings import Settings

#: Who gets an event: one replica of each service, one of all that listen, or every replica.
KINDS = ('pool', 'singleton', 'broadcast')


class Listener(Entrypoint, ABC):
    """Consumes from a queue; a message is acknowledged once its outcome is known."""

    dead_letters = True
    retries = True

    @abstractmethod
    def queue_name(self, settings: Settings) -> str:
        """Return the name of the queue that it consumes from."""

    @abstractmethod
    def subscription(self, settings: Settings, prefetch: int) -> Subscription:
        """Return the queue as it is declared, and what feeds it."""

    def dead_queue_name(self, settings: Settings) -> str:
        """Return the name of the queue that keeps what failed."""
        return dead_queue_name(self.queue_name(settings))

    def claim(self, settings: Settings) -> str | None:
        """Say which queue is this listener's alone."""
        return f'queue {self.queue_name(settings)}'

    def setup(self, service: Service) -> None:
        """Subscribe; the broker declares and consumes once it is started."""
        super().setup(service)
        subscription = self.subscription(service.settings, service.prefetch)
        self.consumer = service.broker.subscribe(subscription, self.receive, self.lose)

    def begin(self, message: Message) -> bool:
        """Say whether the message is still ours: not if its channel was lost before it started."""
        return self.consumer.begin(message)

    def holds(self, message: Message) -> bool:
        """Say whether the message is still ours, while it waits for a worker."""
        return self.consumer.holds(message)

    def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
        """Hand the settlement to the consumer, the only one who tells the broker."""
        self.consumer.settle(message, settlement, outcome)


class EventListener(Listener):
    """Receives the events of a service, one queue per (source, event, service, target's last name).

    Which replicas get an event is its `kind`, with nameko's names:

    - `pool`: the replicas of a service share the queue, so each event is handled once per service; different
      services each get a copy.
    - `singleton`: all that listen to the event share one queue, whatever their service.
    - `broadcast`: each replica has a queue of its own. It goes with its connection, and what is published
      while there is none is missed; what fails is not tried again. With an `identifier` that stays the
      replica's own, the queue stays too, and nothing is missed.

    Args:
        source_service: The service that publishes the event.
        event_name: The event's name, or a topic pattern: `*` stands for one word, `#` for any number.
        route: What each event goes through.
        queue: The queue's name, where the default does not fit.
        queue_type: `classic` or `quorum`, of the queue and its dead letters; None: the setting QUEUE_TYPE.
        kind: `pool`, `singleton` or `broadcast`.
        identifier: Of a broadcast: the replica's name, the same after a restart, as its host's.

    Example:
        >>> EventListener('orders', 'order.*', route=Route('tasks.on_order'))
        >>> EventListener('config', 'changed', route=Route('tasks.reload'), kind='broadcast')
    """

    def __init__(
        self,
        source_service: str,
        event_name: str,
        route: Route | None = None,
        queue: str | None = None,
        queue_type: str | None = None,
        kind: str = 'pool',
        identifier: str | None = None,
    ) -> None:
        super().__init__(route)
        self.source_service = source_service
        self.event_name = event_name
        self.queue = queue
        self.queue_type = queue_type
        self.kind = kind
        self.identifier = identifier
        self.retries = not self._passes

    @property
    def _passes(self) -> bool:
        """Whether its queue goes with its connection."""
        return self.kind == 'broadcast' and self.identifier is None

    def faults(self, settings: Settings | None) -> Iterator[str]:
        """Yield a sentence for everything about this listener that cannot work."""
        yield from super().faults(settings)
        for name in ('source_service', 'event_name'):
            value = getattr(self, name)
            if not (isinstance(value, str) and value):
                yield f'{name}: wanted a text, found {value!r}'
            # With what it becomes: an exchange's name, a routing key.
            elif fault := length_fault(name, f'{value}.events' if name == 'source_service' else value):
                yield fault
        if fault := queue_type_fault(self.queue_type):
            yield fault
        yield from self._kind_faults()
        if self.queue is not None and not (isinstance(self.queue, str) and self.queue):
            yield f'queue: wanted a text or None, found {self.queue!r}'
        elif settings and isinstance(self.route, Route) and isinstance(self.route.target, str):
            # With what a broadcast's is lengthened by.
            fault = name_fault(self.queue_name(settings) + 33 * '-' * self._passes)
            if fault:
                yield fault

    def _kind_faults(self) -> Iterator[str]:
        if self.kind not in KINDS:
            yield f'kind: wanted one of {", ".join(map(repr, KINDS))}, found {self.kind!r}'
        if self.identifier is not None and self.kind != 'broadcast':
            yield f'identifier: only a broadcast has one, found {self.identifier!r} of a {self.kind}'
        elif self.identifier is not None and not (isinstance(self.identifier, str) and self.identifier):
            yield f'identifier: wanted a text or None, found {self.identifier!r}'
        if self._passes and self.queue_type == 'quorum':
            yield 'queue_type: a broadcast without an identifier goes with its connection: no quorum queue'

    def queue_name(self, settings: Settings) -> str:
        """Return the name of the queue that it consumes from; a passing broadcast's is followed by a uuid."""
        if self.queue is not None:
            name = self.queue
        elif self.kind == 'singleton':
            name = singleton_queue_name(self.source_service, self.event_name)
        else:
            name = event_queue_name(
                self.source_service, self.event_name, settings.service_name, self.route.target
            )
        return name if self.identifier is None else f'{name}-{self.identifier}'

    def subscription(self, settings: Settings, prefetch: int) -> Subscription:
        """Return the queue as it is declared, and what feeds it."""
        name, exchange = self.queue_name(settings), event_exchange(self.source_service, settings)
        if self._passes:
            return Subscription(passing_queue(name), exchange, self.event_name, prefetch, renamed=True)
        queue = queue_of_type(name, self.queue_type or settings.queue_type)
        return Subscription(queue, exchange, self.event_name, prefetch)

    def describe(self) -> str:
        """Say in one line, for the start log, what it listens to."""
        queue = self.queue_name(self.service.settings)
        how = '' if self.kind == 'pool' else f'{self.kind}, '
        return f'{self.source_service}.events / {self.event_name} -> {self.route.target} ({how}queue {queue})'


class QueueListener(Listener):
    """Receives what comes into a queue, whoever declares it and whatever feeds it.

    Args:
        queue: The queue's name.
        route: What each message goes through.
        exchange: What the queue is bound to, an `Exchange` of `greenmicro.amqp.topology`; None: what is
            published to the queue itself, through the default exchange, or what others bind it to.
        routing_key: With which binding key.
        declare: Whether the queue is declared here, durable; otherwise it has to be there.
        queue_type: `classic` or `quorum`, of the queue and its dead letters; None: the setting QUEUE_TYPE.
        arguments: Further AMQP arguments of the queue, as `x-max-length`; they have to be the same wherever
            it is declared.

    Example:
        >>> QueueListener('jobs', route=Route('tasks.work'))
        >>> QueueListener('audit', route=Route('tasks.keep'), exchange=Exchange('logs', 'fanout'))
    """

    def __init__(
        self,
        queue: str,
        route: Route | None = None,
        exchange: Exchange | None = None,
        routing_key: str = '',
        declare: bool = True,
        queue_type: str | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(route)
        self.queue = queue
        self.exchange = exchange
        self.routing_key = routing_key
        self.declare = declare
        self.queue_type = queue_type
        self.more_arguments = arguments

    def faults(self, settings: Settings | None) -> Iterator[str]:
        """Yield a sentence for everything about this listener that cannot work."""
        yield from super().faults(settings)
        if not (isinstance(self.queue, str) and self.queue):
            yield f'queue: wanted a text, found {self.queue!r}'
        elif fault := name_fault(self.queue):
            yield fault
        if self.exchange is not None and not isinstance(self.exchange, Exchange):
            yield f"exchange: wanted an Exchange('name', 'kind') or None, found {self.exchange!r}"
        if not isinstance(self.routing_key, str):
            yield f'routing_key: wanted a text, found {self.routing_key!r}'
        if fault := queue_type_fault(self.queue_type):
            yield fault
        if self.more_arguments is not None and not isinstance(self.more_arguments, Mapping):
            yield f'arguments: wanted a dict or None, found {self.more_arguments!r}'
        given = (self.exchange, self.queue_type, self.more_arguments)
        if not self.declare and any(one is not None for one in given):
            yield 'declare: what is not declared here cannot be given an exchange, queue_type or arguments'

    def queue_name(self, settings: Settings) -> str:
        """Return the name of the queue."""
        return self.queue

    def subscription(self, settings: Settings, prefetch: int) -> Subscription:
        """Return the queue as it is declared, and what feeds it."""
        if not self.declare:
            return Subscription(Queue(self.queue, declared=False), None, '', prefetch)
        queue = queue_of_type(self.queue, self.queue_type or settings.queue_type)
        arguments = {**queue.arguments, **(self.more_arguments or {})}
        return Subscription(Queue(self.queue, arguments=arguments), self.exchange, self.routing_key, prefetch)

    def describe(self) -> str:
        """Say in one line, for the start log, what it listens to."""
        fed = '' if self.exchange is None else f' from {self.exchange.name} / {self.routing_key}'
        return f'queue {self.queue}{fed} -> {self.route.target}'
