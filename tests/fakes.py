"""Small stand-ins for what surrounds the path of a message: settings, a service, a place, a target."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, ClassVar

from greenmicro import codecs
from greenmicro.entrypoints import Entrypoint
from greenmicro.limits import Limit
from greenmicro.messages import Failure, Message, Outcome, Publication, Settlement
from greenmicro.routes import Route
from greenmicro.settings import Settings
from greenmicro.workers import Place, Worker


def settings(**config: Any) -> Settings:
    """Settings of a service named `shop` on `memory://`, unless the config says otherwise."""
    return Settings.load({'AMQP_URI': 'memory://', 'SERVICE_NAME': 'shop', **config}, {})


def message(payload: Any = None, **fields: Any) -> Message:
    """A message with a JSON body."""
    body, content_type, content_encoding = codecs.encode(payload)
    properties = {'content_type': content_type, 'content_encoding': content_encoding}
    return Message(body, properties | fields.pop('properties', {}), **fields)


@contextmanager
def tasks(**functions: Callable[..., Any]) -> Iterator[str]:
    """Make functions importable as targets; the value is the name of their module."""
    module = ModuleType('fake_tasks' if 'fake_tasks' not in sys.modules else 'more_fake_tasks')
    vars(module).update(functions)
    sys.modules[module.__name__] = module
    try:
        yield module.__name__
    finally:
        del sys.modules[module.__name__]


def place(publish: Callable[[Publication], None] | None = None, **config: Any) -> Place:
    """A place for workers."""
    return Place(settings(**config), publish or _refuse, OwnLimit)


class OwnLimit(Limit):
    """Expires when the target says so, by `OwnLimit.current`; the call's own time does not matter."""

    current: ClassVar[OwnLimit]

    def start(self) -> None:
        OwnLimit.current = self

    def stop(self) -> None:
        del OwnLimit.current


def _refuse(publication: Publication) -> None:
    raise AssertionError(f'nothing was to be published, and {publication!r} was')


def worker(target: Callable[..., Any], replies: bool = False, arguments: Any = None, **route: Any) -> Worker:
    """A worker that is ready to run a function."""
    built = Route('fake_tasks.target', **route).worker_for('the entrypoint', place(), arguments, replies)
    with tasks(target=target):
        built.prepare()
    return built


class Recorder(Entrypoint):
    """Keeps what it is told of its messages.

    Attributes:
        settled: Message, settlement and outcome of each, in order.
        refused: Messages that are not its own any more.
        asked: Those that it was to begin.
    """

    def __init__(self, route: Route | None = None) -> None:
        super().__init__(route or Route('fake_tasks.target'))
        self.service: Any = FakeService()
        self.settled: list[tuple[Message, Settlement, Outcome]] = []
        self.refused: list[Message] = []
        self.asked: list[Message] = []

    def begin(self, message: Message) -> bool:
        self.asked.append(message)
        return self.holds(message)

    def holds(self, message: Message) -> bool:
        return not any(message is one for one in self.refused)

    def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
        self.settled.append((message, settlement, outcome))

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for _, _, outcome in self.settled]


class FakeService:
    """Lends an entrypoint what it asks for, and keeps what it does with that."""

    def __init__(self, **config: Any) -> None:
        self.settings = settings(**config)
        self.broker = self
        self.prefetch = 12
        self.submitted: list[tuple[Entrypoint, Message]] = []
        self.spawned: list[tuple[Any, ...]] = []
        self.clocks: list[tuple[float, Callable[[], None], bool]] = []
        self.subscriptions: list[tuple[Any, Callable[[Message], None]]] = []
        self.settled: list[tuple[Message, Settlement, Outcome]] = []
        self.ours = True

    def submit(self, entrypoint: Entrypoint, message: Message) -> None:
        self.submitted.append((entrypoint, message))

    def spawn(self, function: Callable[..., None], *args: Any) -> None:
        self.spawned.append((function, *args))

    def every(self, interval_s: float, tick: Callable[[], None], eager: bool) -> None:
        self.clocks.append((interval_s, tick, eager))

    # Its broker, and that one's only consumer.

    def subscribe(
        self, subscription: Any, receive: Callable[[Message], None], lose: Callable[[Message, Failure], None]
    ) -> FakeService:
        self.subscriptions.append((subscription, receive))
        return self

    def begin(self, message: Message) -> bool:
        return self.ours

    def holds(self, message: Message) -> bool:
        return self.ours

    def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
        self.settled.append((message, settlement, outcome))
