"""BrokerSide: what the broker says of a scene's queues and channels."""

import re
import time

from tests.faults.frameworks.base import Framework
from tests.faults.remains import OUT_QUEUE
from tests.support.erlang import QueueCounts, binary
from tests.support.rabbitmq import Node

POLL_S = 0.02
CHANNELS = """
Is = fun(Pid) -> (catch rabbit_channel:info(Pid, [vhost])) == [{{vhost, {vhost}}}] end,
lists:filter(Is, rabbit_channel:list()).
"""
NO_QUEUE = QueueCounts(-1, -1, -1)


class BrokerSide:
    """Asks the broker about one vhost.

    Args:
        node: the broker.
        vhost: the scene's.
        framework: knows which queues hold dead letters.
        queue: the first listener's.
    """

    def __init__(self, node: Node, vhost: str, framework: Framework, queue: str) -> None:
        self.node = node
        self.vhost = vhost
        self.framework = framework
        self.queue = queue

    def queues(self) -> dict[str, QueueCounts]:
        """What every queue holds now; asked again while one is being made, which cannot answer."""
        for _ in range(20):
            try:
                return self.node.queues(self.vhost)
            except RuntimeError as error:
                failed = error
                time.sleep(POLL_S)
        raise failed

    def dead(self) -> int:
        """How many dead letters there are."""
        return sum(queue.ready for name, queue in self.queues().items() if self.framework.is_dead(name))

    def ready(self) -> int:
        """How many messages the first listener's queue has that no consumer holds."""
        return self.queues().get(self.queue, NO_QUEUE).ready

    def consumers(self) -> int:
        """How many consumers the first listener's queue has; -1 where there is no queue."""
        return self.queues().get(self.queue, NO_QUEUE).consumers

    def counts(self) -> tuple[bool, int]:
        """Whether a queue that is worked on holds a message, and how many dead letters there are."""
        counts = self.queues()
        dead = sum(queue.ready for name, queue in counts.items() if self.framework.is_dead(name))
        busy = any(
            queue.ready or queue.unacked
            for name, queue in counts.items()
            if name != OUT_QUEUE and not self.framework.is_dead(name)
        )
        return busy, dead

    def channels(self) -> set[str]:
        """The channels that are open in the vhost, by the broker's names for them."""
        # As <0.734.0> or, by another Erlang, <rabbit@localhost.734.0>.
        return set(re.findall(r'<[^<>]+>', self.node.eval(CHANNELS.format(vhost=binary(self.vhost)))))

    def channel_errors(self) -> int:
        """How many channel errors the broker has logged for this vhost."""
        return len(re.findall(f"hannel error on connection .*vhost: '{self.vhost}'", self.node.log))
