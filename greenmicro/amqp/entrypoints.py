"""EventListener: runs a route for each event of a service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from greenmicro.amqp.topology import (
    Subscription,
    event_exchange,
    event_queue_name,
    length_fault,
    name_fault,
    queue_of_type,
    queue_type_fault,
)
from greenmicro.dead_letters import dead_queue_name
from greenmicro.entrypoints import Entrypoint, Service
from greenmicro.messages import Message, Outcome, Settlement
from greenmicro.routes import Route

if TYPE_CHECKING:
    from greenmicro.settings import Settings


class EventListener(Entrypoint):
    """Receives the events of a service, one queue per (source, event, service, target's last name).

    The replicas of a service share the queue, so each event is handled once per service; different
    services each get a copy. An event is acknowledged once its outcome is known.

    Args:
        source_service: The service that publishes the event.
        event_name: The event's name, or a topic pattern: `*` stands for one word, `#` for any number.
        route: What each event goes through.
        queue: The queue's name, where the default does not fit.
        queue_type: `classic` or `quorum`, of the queue and its dead letters; None: the setting QUEUE_TYPE.

    Example:
        >>> EventListener('orders', 'order.*', route=Route('tasks.on_order'))
    """

    dead_letters = True
    retries = True

    def __init__(
        self,
        source_service: str,
        event_name: str,
        route: Route | None = None,
        queue: str | None = None,
        queue_type: str | None = None,
    ) -> None:
        super().__init__(route)
        self.source_service = source_service
        self.event_name = event_name
        self.queue = queue
        self.queue_type = queue_type

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
        if self.queue is not None and not (isinstance(self.queue, str) and self.queue):
            yield f'queue: wanted a text or None, found {self.queue!r}'
        elif settings and isinstance(self.route, Route) and isinstance(self.route.target, str):
            fault = name_fault(self.queue_name(settings))
            if fault:
                yield fault

    def queue_name(self, settings: Settings) -> str:
        """Return the name of the queue that it consumes from."""
        return self.queue or event_queue_name(
            self.source_service, self.event_name, settings.service_name, self.route.target
        )

    def dead_queue_name(self, settings: Settings) -> str:
        """Return the name of the queue that keeps what failed."""
        return dead_queue_name(self.queue_name(settings))

    def claim(self, settings: Settings) -> str | None:
        """Say which queue is this listener's alone."""
        return f'queue {self.queue_name(settings)}'

    def describe(self) -> str:
        """Say in one line, for the start log, what it listens to."""
        queue = self.queue_name(self.service.settings)
        return f'{self.source_service}.events / {self.event_name} -> {self.route.target} (queue {queue})'

    def setup(self, service: Service) -> None:
        """Subscribe; the broker declares and consumes once it is started."""
        super().setup(service)
        settings = service.settings
        self.consumer = service.broker.subscribe(
            Subscription(
                queue_of_type(self.queue_name(settings), self.queue_type or settings.queue_type),
                event_exchange(self.source_service, settings),
                self.event_name,
                service.prefetch,
            ),
            self.receive,
            self.lose,
        )

    def begin(self, message: Message) -> bool:
        """Say whether the message is still ours: not if its channel was lost before it started."""
        return self.consumer.begin(message)

    def holds(self, message: Message) -> bool:
        """Say whether the message is still ours, while it waits for a worker."""
        return self.consumer.holds(message)

    def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
        """Hand the settlement to the consumer, the only one who tells the broker."""
        self.consumer.settle(message, settlement, outcome)
