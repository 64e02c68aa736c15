"""What may befall a broker's connections, from a test."""

import time

import gevent

from greenmicro.brokers.rabbitmq.broker import RabbitBroker
from greenmicro.errors import PublishError
from tests.brokers.sides import event
from tests.support.erlang import binary
from tests.support.patience import PATIENCE_S
from tests.support.rabbitmq import Node

CLOSE = """
Named = fun(Pid) ->
    case (catch rabbit_networking:connection_info(Pid, [client_properties])) of
        [{{client_properties, Given}}] when is_list(Given) ->
            case lists:keyfind(<<"connection_name">>, 1, Given) of
                {{_, _, Name}} -> binary:match(Name, {name}) =/= nomatch;
                false -> false
            end;
        _ -> false  % it is only just being opened, or has just been closed
    end
end,
Found = [Pid || Pid <- rabbit_networking:connections(), Named(Pid)],
[(catch rabbit_networking:close_connection(Pid, "the test says so")) || Pid <- Found],
length(Found).
"""


def close_connections(node: Node, name: str) -> int:
    """Have the broker close the connections with a name, and return how many they were."""
    return int(node.eval(CLOSE.format(name=binary(name))))


#: What raises each alarm, with the limit that does and the one that ends it; as rabbitmqctl sets them.
ALARMS = {
    'memory': ('vm_memory_monitor:set_vm_memory_high_watermark({absolute, %s}).', '1', '"1GB"'),
    'disk': ('rabbit_disk_monitor:set_disk_free_limit(%s).', '"99999GB"', '"50MB"'),
}


class alarm:  # noqa: N801  # reads as a function
    """A resource alarm for as long as the block lasts; the broker accepts no messages meanwhile."""

    def __init__(self, node: Node, kind: str = 'memory') -> None:
        self.node = node
        self.limit, self.low, self.normal = ALARMS[kind]

    def __enter__(self) -> None:
        self.node.eval(self.limit % self.low)

    def __exit__(self, *error: object) -> None:
        self.node.eval(self.limit % self.normal)


def publish_until_blocked(broker: RabbitBroker) -> None:
    """The broker tells a connection of an alarm when something is published on it."""
    deadline = time.monotonic() + PATIENCE_S
    while not broker._publisher._link.blocked:
        assert time.monotonic() < deadline, 'the broker does not block'
        with gevent.Timeout(0.05, False):  # type: ignore[arg-type]
            try:
                broker.publish(event(mandatory=False))
            except PublishError:
                pass  # of a deadline that is shorter still
