"""greenmicro's adapter."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.faults.frameworks.base import SERVICE, SOURCE, Framework
from tests.faults.service import Listener, Service

MAIN = """\
import gc
import logging
import os
import signal

from greenmicro.runner import Runner
from greenmicro import Dependency, EventListener, Producer, Route{retry}

config = {config!r}
logging.basicConfig(level=logging.INFO, format='%(asctime)s %(message)s')


class Attempt(Dependency):
    def provide(self, context):
        yield context.attempt


def given():
    return {{'attempt': Attempt(), 'send': Producer()}}


def tally(number, frame):
    gc.unfreeze()  # what was there before the first message is left out of collections, and of this list
    # By type(): an object may lie about its class, or raise when it is asked.
    count = sum(issubclass(type(each), greenlet) and bool(each) for each in gc.get_objects())
    with open('greenlets.new', 'w') as file:
        file.write(str(count))
    os.replace('greenlets.new', 'greenlets')


entrypoints = [
{entrypoints}
]
if __name__ == '__main__':
    from greenlet import greenlet
    signal.signal(signal.SIGUSR1, tally)
    Runner(entrypoints, config).start()
"""

#: The harness's word for each of ours.
REASONS = {
    'unreadable properties': 'properties',
    'content type refused': 'refused',
    'undecodable body': 'body',
    'target error': 'target',
    'worker lost': 'lost',
    'time limit': 'time',
}


class Greenmicro(Framework):
    """The four modes of greenmicro."""

    name = 'greenmicro'
    modes = {  # noqa: RUF012  # typed as a class variable in the base
        'thread': 'thread',
        'greedy_thread': 'thread',
        'process': 'process',
        'greedy_process': 'process',
    }
    queue_types = ('classic', 'quorum')
    ready = 'ready after'
    tally = signal.SIGUSR1
    errors = {  # noqa: RUF012  # as above
        'RefusedError': 'refused',
        'UnconfirmedError': 'unknown',
        'BlockedError': 'blocked',
        'UnroutableError': 'unroutable',
        'PayloadError': 'unsendable',
    }

    def write(self, folder: Path, uri: str, mode: str, queue_type: str, service: Service) -> None:
        config = {
            'AMQP_URI': uri,
            'SERVICE_NAME': SERVICE,
            'WORKER_MODE': mode,
            'MAX_WORKERS': service.workers,
            'PREFETCH': service.prefetch,
            'QUEUE_TYPE': queue_type,
            'HEARTBEAT_S': service.heartbeat_s,
            'CONNECT_TIMEOUT_S': service.connect_timeout_s,
            'CONFIRM_TIMEOUT_S': service.confirm_timeout_s,
            'STOP_TIMEOUT_S': service.grace_s,
            'MAX_CRASHES': service.max_crashes,
        }
        given = {key: value for key, value in config.items() if value is not None}
        retry = any(listener.max_attempts for listener in service.listeners)
        main = MAIN.format(
            config=given,
            entrypoints='\n'.join(map(_entrypoint, service.listeners)),
            retry=', Retry' if retry else '',
        )
        (folder / 'main.py').write_text(main)

    def is_dead(self, queue: str) -> bool:
        return queue.endswith('.dead')

    def reason(self, headers: Mapping[str, Any]) -> str:
        reason = str(headers.get('greenmicro.reason'))
        return REASONS.get(reason, reason)


def _entrypoint(listener: Listener) -> str:
    options = ''
    if listener.max_attempts is not None:
        options += f', retry=Retry(max_attempts={listener.max_attempts}, initial_delay_s={listener.delay_s})'
    if listener.timeout_s is not None:
        options += f', timeout_s={listener.timeout_s}'
    route = f"Route('tasks.{listener.target}', dependencies=given(){options})"
    return f'    EventListener({SOURCE!r}, {listener.event!r}, route={route}),'
