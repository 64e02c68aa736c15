"""The names and kinds of exchanges and queues, as nameko puts them on the wire."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from greenmicro.copies import DUE
from greenmicro.dead_letters import dead_queue_name
from greenmicro.delays import step_ms

if TYPE_CHECKING:
    from greenmicro.settings import Settings

#: AMQP 0-9-1, section 4.2.5.3: a short string has at most 255 bytes.
NAME_LIMIT = 255

QUEUE_TYPES = ('classic', 'quorum')

#: A quorum queue drops what was merely given back once its limit is reached (RabbitMQ 4: 20 by
#: default). Not -1: 3.10 then drops at the first requeue.
DELIVERY_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange.

    Attributes:
        name: Its name.
        kind: `topic`, `direct` or `fanout`.
        durable: Whether it survives a restart of the broker.
        auto_delete: Whether it goes with its last queue.
        declared: Whether we declare it; otherwise it has to be there.
    """

    name: str
    kind: str = 'topic'
    durable: bool = True
    auto_delete: bool = False
    declared: bool = True


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue.

    Attributes:
        name: Its name.
        durable: Whether it survives a restart of the broker.
        exclusive: Whether it belongs to one connection and goes with it.
        auto_delete: Whether it goes with its last consumer.
        arguments: AMQP `x-` arguments.
        declared: Whether we declare it; otherwise it has to be there, of whatever kind.
    """

    name: str
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    declared: bool = True


@dataclass(frozen=True, slots=True)
class Subscription:
    """A queue to consume from, and what feeds it.

    Attributes:
        queue: The queue.
        exchange: What it is bound to; None: it is only fed by the default exchange.
        routing_key: With which binding key.
        prefetch: How many messages may be unsettled at once.
        lasting: Whether it is consumed from until the broker is closed, and not only until a stop begins, as
            what running targets wait for.
        renamed: Whether each channel reads a new queue, of this name and a uuid, which goes with it.
        sole: Whether it is a lock rather than work: exclusive to one at a time, while the others go on
            trying and are ready all the same.
    """

    queue: Queue
    exchange: Exchange | None
    routing_key: str
    prefetch: int
    lasting: bool = False
    renamed: bool = False
    sole: bool = False

    def present(self) -> Subscription:
        """Return it as it is declared on a new channel."""
        if not self.renamed:
            return self
        return replace(self, queue=replace(self.queue, name=f'{self.queue.name}-{uuid.uuid4().hex}'))


@dataclass(frozen=True, slots=True)
class Delay:
    """Where a broker holds messages for a time.

    What is published on `exchange` waits in `queue`, and goes from there, with the routing key that it came
    with, to the exchange that it is meant for.

    Attributes:
        exchange: A fanout exchange of our own.
        queue: The queue behind it, of the same name.
        target: The name of the exchange that it goes to; '' is the default one.
        due: What `queue` sends to, where that is not the target itself: bound to the target, and to
            `unheard`.
        unheard: A queue that drops at once what comes in.
    """

    exchange: Exchange
    queue: Queue
    target: str
    due: Exchange | None = None
    unheard: Queue | None = None


def event_exchange_name(source_service: str) -> str:
    """Return the name of the exchange that a service publishes its events on."""
    return f'{source_service}.events'


def event_exchange(source_service: str, settings: Settings) -> Exchange:
    """Return the exchange that a service publishes its events on."""
    how = settings.declare_exchanges
    return Exchange(
        event_exchange_name(source_service), auto_delete=how == 'auto_delete', declared=how != 'never'
    )


def event_queue_name(source_service: str, event_name: str, service: str, target: str) -> str:
    """Return the name of the queue that the replicas of a service share for an event.

    Args:
        source_service: Who publishes the event.
        event_name: The event, or a topic pattern.
        service: The listening service.
        target: Dotted path of the target; its last part goes into the name, so that a module can be
            renamed without stranding what waits in the queue.
    """
    return f'evt-{source_service}-{event_name}--{service}.{target.rpartition(".")[2]}'


def singleton_queue_name(source_service: str, event_name: str) -> str:
    """Return the name of the queue that all who listen to an event as singletons share."""
    return f'evt-{source_service}-{event_name}'


def passing_queue(name: str) -> Queue:
    """Return a queue that goes with its connection; durable, as nameko's are, and of the type that can."""
    return Queue(name, exclusive=True, auto_delete=True, arguments={'x-queue-type': 'classic'})


def queue_type_fault(queue_type: Any) -> str | None:
    """Return a sentence if there is no such type of queues; else None."""
    if queue_type is None or (isinstance(queue_type, str) and queue_type in QUEUE_TYPES):
        return None
    return f'queue_type: wanted one of {", ".join(map(repr, QUEUE_TYPES))} or None, found {queue_type!r}'


def queue_of_type(name: str, queue_type: str | None) -> Queue:
    """Return a durable queue of a type; None leaves the type to the broker and declares no arguments."""
    if queue_type is None:
        return Queue(name)
    arguments: dict[str, Any] = {'x-queue-type': queue_type}
    if queue_type == 'quorum':
        arguments['x-delivery-limit'] = DELIVERY_LIMIT
    return Queue(name, arguments=arguments)


def dead_queue_of(queue: Queue) -> Queue:
    """Return the queue of a queue's dead letters; it is of the same type."""
    return queue_of_type(dead_queue_name(queue.name), queue.arguments.get('x-queue-type'))


def delay_of(target: str, delay_s: float) -> Delay:
    """Return where messages for an exchange wait, at least so long.

    Nothing is lost on the way out of the queue: it is a quorum queue that lets go of a message only when
    those that it was routed to have confirmed it, and refuses what it has no room for. A classic one lost
    10 of 10 while the work queue was away. But then what nobody takes stays too, and 32 such messages hold up
    all that come behind them. For a work queue that is right: its service declares it again. An event may go
    unheard for ever; so it is routed to a queue that drops it as well.

    Args:
        target: The exchange that they are meant for; '' for retries, which go to a queue by its name.
        delay_s: Seconds.
    """
    ms = step_ms(delay_s)
    name = f'greenmicro.delay.{ms}.{target}' if target else f'greenmicro.delay.{ms}'
    arguments = {
        'x-queue-type': 'quorum',
        'x-message-ttl': ms,
        'x-dead-letter-exchange': f'{DUE}{target}' if target else '',
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
    }
    exchange, queue = Exchange(name, 'fanout'), Queue(name, arguments=arguments)
    if not target:
        return Delay(exchange, queue, target)
    unheard = Queue('greenmicro.unheard', arguments={'x-queue-type': 'quorum', 'x-max-length': 0})
    return Delay(exchange, queue, target, Exchange(f'{DUE}{target}', 'fanout'), unheard)


def name_fault(queue: str) -> str | None:
    """Return a sentence if a queue's name, or that of its dead queue, is too long; else None."""
    return length_fault(f'queue name {queue!r}, with {dead_queue_name("")!r}', dead_queue_name(queue))


def length_fault(what: str, name: str) -> str | None:
    """Return a sentence if a name is too long for AMQP; else None."""
    length = len(name.encode('utf-8', 'surrogatepass'))
    return None if length <= NAME_LIMIT else f'{what}: wanted at most {NAME_LIMIT} bytes, found {length}'
