"""Fleet: one or more services of this framework over one or more queues, filled in bulk beforehand."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from tests.support.erlang import QueueCounts

from .broker import EXCHANGE, SOURCE, Broker
from .bulk import Bulk, Event
from .services import Service

MAIN = """\
import logging
from greenmicro.runner import Runner
from greenmicro.routes import Route
from greenmicro.amqp.entrypoints import EventListener

config = {config!r}
logging.basicConfig(level=logging.INFO, format='%(message)s')
entrypoints = [EventListener({source!r}, name, route=Route('tasks.work'), queue=name) for name in {queues!r}]
if __name__ == '__main__':
    runner = Runner(entrypoints, config)
    runner.start()
"""

PATIENCE_S = 120.0
POLL_S = 0.05


class Queues:
    """Work queues of a name each, which is its routing key as well.

    Args:
        broker: Where they are.
        names: Their names.
    """

    def __init__(self, broker: Broker, names: Sequence[str]) -> None:
        self.names = names
        self._broker = broker

    def fill(self, messages: int, body: bytes) -> None:
        """Have so many messages ready in all of them together, the same number in each, none delivered yet.

        What is there of an earlier run stays, but for what had been delivered and was given back: a service
        looks twice at that, and it would be measured too.
        """
        client = self._broker.client
        client.declare_exchange(EXCHANGE)
        missing = {}
        for name in self.names:
            client.declare_queue(name)
            client.bind(name, EXCHANGE, name)
        self._wait(lambda counts: counts.unacked)
        for name in self.names:
            self._drop_redelivered(name)
            ready, _ = client.queue_counts(name)
            missing[name] = messages // len(self.names) - ready
        with Bulk(self._broker.node.port) as bulk:
            # In turns, as events of several kinds come.
            bulk.send(
                Event(EXCHANGE, name, body)
                for number in range(max(missing.values()))
                for name in self.names
                if number < missing[name]
            )

    def counts(self) -> list[QueueCounts]:
        """What each holds now."""
        found = self._broker.node.queues()
        return [found[name] for name in self.names]

    def wait_empty(self) -> None:
        """Wait until all is settled, and nothing is left or went elsewhere.

        Raises:
            TimeoutError: Messages are left.
        """
        self._wait(lambda counts: counts.unacked + counts.ready)

    def delete(self) -> None:
        """Delete them."""
        for name in self.names:
            self._broker.client.delete_queue(name)

    def _wait(self, left: Callable[[QueueCounts], int]) -> None:
        """Wait until nothing is left.

        Raises:
            TimeoutError: Something is.
        """
        deadline = time.monotonic() + PATIENCE_S
        while many := sum(
            left(counts) for name, counts in self._broker.node.queues().items() if name in self.names
        ):
            if time.monotonic() > deadline:
                raise TimeoutError(f'{many} messages are left')
            time.sleep(POLL_S)

    def _drop_redelivered(self, name: str) -> None:
        # They stand in front. The first that is none goes too, since a look at it would flag it.
        found = True
        while found:
            method, _, _ = self._broker.client.channel.basic_get(name, auto_ack=True)
            found = method is not None and method.redelivered


class Fleet:
    """Replicas of one service; looks like a process tree, of all of them, and is started by `with`.

    Args:
        queues: What they consume from.
        tasks: The text of tasks.py, with a function `work`.
        replicas: How many there are.
        config: Their config.
    """

    def __init__(self, queues: Queues, tasks: str, replicas: int, config: dict[str, Any]) -> None:
        full = {'SERVICE_NAME': 'service', **config}
        main = MAIN.format(config=full, source=SOURCE, queues=list(queues.names))
        self.services = [Service({'main.py': main, 'tasks.py': tasks}) for _ in range(replicas)]
        self._stack = ExitStack()
        self._trees: list[Any] = []

    def done(self) -> int:
        """How many calls their targets have counted."""
        return sum(service.done() for service in self.services)

    def look(self) -> None:
        """Find out which processes there are."""
        for tree in self._trees:
            tree.look()

    def cpu_s(self) -> float:
        """User and system time of all in seconds."""
        return sum(tree.cpu_s() for tree in self._trees)

    def memory_mib(self) -> float:
        """Memory of all in MiB."""
        return sum(tree.memory_mib() for tree in self._trees)

    def wait_ready(self) -> None:
        """Wait until all say that they consume."""
        for service in self.services:
            service.wait_ready()

    def stop(self) -> None:
        """Send SIGTERM to all and wait for their ends."""
        for service in self.services:
            service.stop()

    def __enter__(self) -> 'Fleet':
        for service in self.services:
            self._stack.enter_context(service)
        self._trees = [service.tree for service in self.services]
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()
