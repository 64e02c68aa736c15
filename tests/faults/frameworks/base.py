"""Framework: all that the harness knows of a framework under test."""

import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from tests.faults.service import Listener, Service

#: Who publishes the events, and the service under test.
SOURCE, SERVICE = 'source', 'service'


class Framework(ABC):
    """Writes a service for a mode and a queue type, and names what it leaves in the broker.

    Attributes:
        name: its name.
        modes: its modes, each with the place where its targets run: `thread` or `process`.
        queue_types: the queue types that it can declare.
        ready: what it prints once it consumes.
        errors: the classes of what a publish raises, each with the harness's word for it: `refused` by the
            broker, `unknown` as no confirm came in time, `blocked` as the broker took nothing in time,
            `unroutable`, `unsendable` as AMQP cannot carry it.
        tally: the signal at which a service writes how many greenlets live in it to the file `greenlets` in
            its folder, put there whole; None for those that do not.
    """

    name: ClassVar[str]
    modes: ClassVar[dict[str, str]]
    queue_types: ClassVar[tuple[str, ...]]
    ready: ClassVar[str]
    errors: ClassVar[dict[str, str]]
    tally: ClassVar[signal.Signals | None] = None

    @abstractmethod
    def write(self, folder: Path, uri: str, mode: str, queue_type: str, service: Service) -> None:
        """Write main.py, beside the tasks.py whose targets take (payload, attempt, send)."""

    def python(self) -> str:
        """The interpreter that has it installed."""
        return sys.executable

    def exchange(self) -> str:
        """Where the events of the source are published."""
        return f'{SOURCE}.events'

    def out_exchange(self) -> str:
        """Where the service publishes its own events."""
        return f'{SERVICE}.events'

    def queue(self, listener: Listener) -> str:
        """The queue of a listener."""
        return f'evt-{SOURCE}-{listener.event}--{SERVICE}.{listener.target}'

    @abstractmethod
    def is_dead(self, queue: str) -> bool:
        """Whether a queue holds dead letters."""

    @abstractmethod
    def reason(self, headers: Mapping[str, Any]) -> str:
        """Why a dead letter is one: `properties`, `refused`, `body`, `target`, `lost`, `time` or else."""
