"""RPCListener: runs a route for each call of a method, and answers it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from greenmicro.amqp.topology import Subscription, length_fault, name_fault, queue_of_type
from greenmicro.dead_letters import dead_queue_name
from greenmicro.entrypoints import Entrypoint
from greenmicro.hosting import Service
from greenmicro.messages import Failure, Message, Outcome, Reason, Settlement
from greenmicro.routes import Route
from greenmicro.rpc.protocol import EXCHANGE, arguments_of, error_reply, request_queue_name, result_reply

if TYPE_CHECKING:
    from greenmicro.settings import Settings

logger = logging.getLogger(__name__)

TOO_LARGE = Failure(Reason.RESULT, 'the broker refuses the reply; is it too large?')


class RPCListener(Entrypoint):
    """Answers the calls of one method of this service; other services call it through an `RPCProxy`.

    The replicas of a service share one queue for the calls of all methods. A call is acknowledged once its
    reply is with the broker. The target gets the caller's arguments, checked against its signature, and the
    dependencies on top. What it raises is told to the caller; a call that asks for no reply and fails is
    dead-lettered. In translators the payload is `{'args': [...], 'kwargs': {...}}`.

    Args:
        route: What each call goes through.
        method: The method's name; the last part of the target's path where it is not given.

    Example:
        >>> RPCListener(Route('tasks.add'))     # tasks.py: def add(x, y): return x + y
    """

    replies = True
    dead_letters = True
    retries = True

    def __init__(self, route: Route | None = None, method: str | None = None) -> None:
        super().__init__(route)
        self.method = method

    def faults(self, settings: Settings | None) -> Iterator[str]:
        """Yield a sentence for everything about this listener that cannot work."""
        yield from super().faults(settings)
        if self.method is not None and not (isinstance(self.method, str) and _is_word(self.method)):
            yield f'method: wanted a name without a dot, or None, found {self.method!r}'
        elif settings and isinstance(self.route, Route) and isinstance(self.route.target, str):
            key = f'{settings.service_name}.{self.method_name}'
            for fault in (length_fault('method', key), name_fault(request_queue_name(settings.service_name))):
                if fault:
                    yield fault

    @property
    def method_name(self) -> str:
        """The method's name."""
        return self.method or self.route.target.rpartition('.')[2]

    def queue_name(self, settings: Settings) -> str:
        """Return the name of the queue that the service's calls come from."""
        return request_queue_name(settings.service_name)

    def dead_queue_name(self, settings: Settings) -> str:
        """Return the name of the queue that keeps what failed and asks for no reply."""
        return dead_queue_name(self.queue_name(settings))

    def claim(self, settings: Settings) -> str | None:
        """Say which method is this listener's alone."""
        return f'RPC method {settings.service_name}.{self.method_name}'

    def describe(self) -> str:
        """Say in one line, for the start log, what it answers."""
        return f'rpc {self.service.settings.service_name}.{self.method_name} -> {self.route.target}'

    def setup(self, service: Service) -> None:
        """Take a place at the service's queue of calls."""
        super().setup(service)
        self.calls = service.shared(Calls)
        self.calls.listeners[self.method_name] = self

    def arguments(self, payload: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Take the target's arguments out of a request."""
        return arguments_of(payload)

    def begin(self, message: Message) -> bool:
        """Say whether the call is still ours: not if its channel was lost before it started."""
        return self.calls.consumer.begin(message)

    def holds(self, message: Message) -> bool:
        """Say whether the call is still ours, while it waits for a worker."""
        return self.calls.consumer.holds(message)

    def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
        """Answer, or have the consumer settle what is not to be answered now or ever."""
        if settlement in (Settlement.RETRY, Settlement.GIVE_BACK) or not _reply_to(message):
            self.calls.consumer.settle(message, settlement, outcome)
        elif outcome.failure is not None:
            self.calls.answer_error(message, outcome.failure)
        else:
            reply = result_reply(message, outcome.result)
            self.calls.consumer.answer(message, reply, error_reply(message, TOO_LARGE))

    def fate(self, message: Message, settlement: Settlement) -> str:
        """Say in the log what becomes of a call that failed for good."""
        return 'told to the caller' if _reply_to(message) else super().fate(message, settlement)


class Calls:
    """The queue of a service's calls, shared by its listeners: each call goes to that of its method.

    Args:
        service: The service.

    Attributes:
        listeners: By the names of their methods.
        consumer: Delivers the calls, and settles them.
    """

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self.listeners: dict[str, RPCListener] = {}
        self._service = settings.service_name
        service.broker.declare(EXCHANGE)
        self.consumer = service.broker.subscribe(
            Subscription(
                queue_of_type(request_queue_name(self._service), settings.queue_type),
                EXCHANGE,
                f'{self._service}.*',
                service.prefetch,
            ),
            self.receive,
            self.lose,
        )

    def receive(self, message: Message) -> None:
        """Hand a call to its method's listener."""
        listener = self._listener(message)
        if listener is None:
            self._refuse(message)
        else:
            listener.receive(message)

    def lose(self, message: Message, failure: Failure) -> None:
        """Take a call home that took too many processes with it."""
        listener = self._listener(message)
        if listener is None:
            self._refuse(message)
        else:
            listener.lose(message, failure)

    def answer_error(self, message: Message, failure: Failure) -> None:
        """Tell the caller why its call failed."""
        reply = error_reply(message, failure)
        self.consumer.answer(message, reply, error_reply(message, failure._replace(traceback='')))

    def _listener(self, message: Message) -> RPCListener | None:
        prefix, _, method = message.routing_key.rpartition('.')
        return self.listeners.get(method) if prefix == self._service else None

    def _refuse(self, message: Message) -> None:
        method = message.routing_key.rpartition('.')[2]
        failure = Failure(Reason.NO_METHOD, method)
        logger.warning('rpc %s: %r calls %r, which is no method here', self._service, message, method)
        if not self.consumer.begin(message):
            return
        if _reply_to(message):
            self.answer_error(message, failure)
        else:
            self.consumer.settle(message, Settlement.DEAD_LETTER, Outcome.failed(failure))


def _reply_to(message: Message) -> str | None:
    reply_to = message.properties.get('reply_to')
    return reply_to if isinstance(reply_to, str) and reply_to else None


def _is_word(name: str) -> bool:
    return bool(name) and '.' not in name
