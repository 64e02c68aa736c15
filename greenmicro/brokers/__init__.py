"""Where messages come from and go to, behind one contract: the table of brokers."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greenmicro.brokers.base import Broker

#: A URI's scheme to the module and the class of its broker.
SCHEMES = {
    'amqp': ('greenmicro.brokers.rabbitmq.broker', 'RabbitBroker'),
    'amqps': ('greenmicro.brokers.rabbitmq.broker', 'RabbitBroker'),
    'memory': ('greenmicro.brokers.memory.broker', 'MemoryBroker'),
}


def broker_class(uri: str) -> type[Broker]:
    """Return the broker of a URI; only that one is imported, since kombu and amqp cost 0.1 s."""
    module, name = SCHEMES[uri.partition(':')[0]]
    found: type[Broker] = getattr(import_module(module), name)
    return found
