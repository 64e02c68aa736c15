"""Peer: all that the benchmarks know of a framework in one of its modes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: How many greenlets, and how many messages each consumer holds. Where workers are greenlets there are as
#: many, since nameko has one number for both.
PREFETCH = 200
#: From how many greenlets, threads or tasks is published.
PUBLISHERS = 100

#: Stand in a message for what differs from one to the next, in as many bytes.
ID = '00000000-0000-4000-8000-000000000000'
SENT = 8888888888.888888

#: What a message carries: as JSON 144 bytes, before what the peer writes around it.
PAYLOAD = {
    'sent': SENT,
    'id': 1234567,
    'kind': 'order_placed',
    'customer': 'c-00012345',
    'items': [{'sku': 'A-100', 'n': 2}, {'sku': 'B-200', 'n': 1}],
    'total': '42.50',
}


@dataclass(frozen=True)
class Environment:
    """A virtual environment of its own.

    Attributes:
        name: Of its folder.
        requirements: What pip installs into it, pinned.
        imports: A module whose import shows that it is whole.
    """

    name: str
    requirements: tuple[str, ...]
    imports: str


@dataclass(frozen=True)
class Program:
    """What is run.

    Attributes:
        files: The texts of its files; `{uri}` stands for the broker, `{folder}` as `Service` has it, and
            `{messages}` for how many messages it publishes, or calls it makes.
        arguments: What follows the interpreter; `{bin}` stands for the interpreter's folder.
        environment: Variables on top of ours.
    """

    files: Mapping[str, str]
    arguments: tuple[str, ...] = ('main.py',)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Envelope:
    """How a message stands in the peer's queue, as its own publisher writes it.

    Attributes:
        queue: The queue, durable.
        arguments: Those that the peer declares it with.
        properties: The AMQP properties.
        headers: The headers.
        wrap: Makes of the payload what is the JSON body.
    """

    queue: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    wrap: Callable[[Any], Any] = lambda payload: payload


@dataclass(frozen=True)
class Publishing:
    """A program that publishes `{messages}` messages, and counts each when it is confirmed.

    Attributes:
        program: The program.
        per_s: About how many a second it does; it sizes the run only.
        queue: Where they go.
        arguments: Those that the queue is declared with.
        exchange: The topic exchange that feeds the queue; '' where they are published to the queue itself.
        start: Of PUBLISHERS messages it is begun by one for each publisher; None where it begins by itself.
    """

    program: Program
    per_s: int
    queue: str = 'published'
    arguments: Mapping[str, Any] = field(default_factory=dict)
    exchange: str = ''
    start: Envelope | None = None


@dataclass(frozen=True)
class Peer:
    """A framework in one of its modes.

    Attributes:
        name: Its name and its mode's.
        settings: What it is told, in a few words, for the reader of the table.
        docs: Where its documentation says so.
        group: `threads` where one process does all the work, `processes` where children do, `bare`.
        environment: Where it is installed; None for this checkout's own.
        consumer: The service, with a handler that counts; None where it is not measured.
        envelope: What it consumes; None where it makes its calls itself, without a broker.
        per_s: About how many messages a second it handles; it sizes the run only.
        publishing: How it publishes; None where it is not measured.
    """

    name: str
    settings: str
    docs: tuple[str, ...]
    group: str
    environment: Environment | None = None
    consumer: Program | None = None
    envelope: Envelope | None = None
    per_s: int = 0
    publishing: Publishing | None = None
