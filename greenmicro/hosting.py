"""Service: what a running service lends its entrypoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from greenmicro.brokers.base import Broker
    from greenmicro.entrypoints import Entrypoint
    from greenmicro.messages import Message
    from greenmicro.settings import Settings

Shared = TypeVar('Shared')


class Service(Protocol):
    """What a running service lends its entrypoints.

    Attributes:
        settings: The validated settings.
        broker: Where brokers' entrypoints subscribe and publish.
        prefetch: How many messages one subscription may hold unsettled.
    """

    settings: Settings
    broker: Broker
    prefetch: int

    def submit(self, entrypoint: Entrypoint, message: Message) -> None:
        """Hand a message to the workers; returns at once."""

    def shared(self, kind: Callable[[Service], Shared]) -> Shared:
        """Return the one thing of a kind that entrypoints share, made when it is first asked for."""

    def spawn(self, function: Callable[..., None], *args: Any) -> None:
        """Run a function in a greenlet until the service stops; a crash in it stops the service."""

    def end(self) -> None:
        """Have the service stop, as by SIGTERM; returns at once."""

    def every(self, interval_s: float, tick: Callable[[], None], eager: bool) -> None:
        """Call a function at each multiple of an interval, from now until the service stops."""

    def compete(self, queue: str) -> Callable[[], bool]:
        """Compete with all others for a queue that the broker gives to one connection at a time.

        Returns:
            A function that says whether it is ours at this moment, for all that is known here.
        """
