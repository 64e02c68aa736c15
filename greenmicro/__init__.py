"""greenmicro: message-driven services in Python on RabbitMQ, on gevent, kombu and amqp.

Importing this package patches nothing and imports nothing else; its names load when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = '0.1.0'

#: Public name to the module that has it.
_HOMES = {
    'Context': 'greenmicro.dependencies',
    'CronEntrypoint': 'greenmicro.cron',
    'Dependency': 'greenmicro.dependencies',
    'Entrypoint': 'greenmicro.entrypoints',
    'HTTPEntrypoint': 'greenmicro.http.entrypoints',
    'HTTPError': 'greenmicro.http.signals',
    'HTTPRequest': 'greenmicro.http.dependencies',
    'EventListener': 'greenmicro.amqp.entrypoints',
    'MessageTranslator': 'greenmicro.translators',
    'Producer': 'greenmicro.amqp.dependencies',
    'Publisher': 'greenmicro.amqp.dependencies',
    'QueueListener': 'greenmicro.amqp.entrypoints',
    'RPCListener': 'greenmicro.rpc.entrypoints',
    'RPCProxy': 'greenmicro.rpc.dependencies',
    'Reject': 'greenmicro.signals',
    'Retry': 'greenmicro.retry',
    'Request': 'greenmicro.http.values',
    'Response': 'greenmicro.http.values',
    'RetryLater': 'greenmicro.signals',
    'Route': 'greenmicro.routes',
    'TimeEntrypoint': 'greenmicro.entrypoints',
    'Worker': 'greenmicro.workers',
    'WorkerContext': 'greenmicro.dependencies',
}

#: Without Runner, whose import patches the process: a star import must not do that.
__all__ = [*_HOMES, '__version__']  # names of _HOMES are texts


def __getattr__(name: str) -> Any:
    home = 'greenmicro.runner' if name == 'Runner' else _HOMES.get(name)
    if home is None:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(import_module(home), name)
