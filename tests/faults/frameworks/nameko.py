"""nameko's adapter: it runs in a virtual environment of its own, since it needs eventlet."""

import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.faults.frameworks.base import SERVICE, SOURCE, Framework
from tests.faults.service import Listener, Service

REQUIREMENTS = ('nameko==2.14.1', 'setuptools<81')
FOLDER = Path(__file__).parents[3] / 'build' / 'nameko'

MAIN = """\
import warnings
warnings.simplefilter('ignore')
import eventlet
eventlet.monkey_patch()
import logging
import signal

from nameko.events import EventDispatcher, event_handler
from nameko.runners import ServiceRunner

import tasks

config = {config!r}
logging.basicConfig(level=logging.INFO, format='%(asctime)s %(message)s')


class Service:
    name = {name!r}
    send = EventDispatcher()
{handlers}


runner = ServiceRunner(config)
runner.add_service(Service)


def stop(number, frame):
    eventlet.spawn_n(runner.stop)


signal.signal(signal.SIGTERM, stop)
runner.start()
print('ready after start', flush=True)
runner.wait()
"""
HANDLER = """
    @event_handler({source!r}, {event!r})
    def {target}(self, payload):
        return tasks.{target}(payload, 1, self.send)
"""


class Nameko(Framework):
    """nameko 2.14, as `nameko run` runs it: a failed event is acknowledged, by its own choice."""

    name = 'nameko'
    modes = {'eventlet': 'thread'}  # noqa: RUF012  # typed as a class variable in the base
    queue_types = ('classic',)
    ready = 'ready after'
    errors = {'UndeliverableMessage': 'unroutable'}  # noqa: RUF012  # as above

    def write(self, folder: Path, uri: str, mode: str, queue_type: str, service: Service) -> None:
        config = {
            'AMQP_URI': uri,
            'max_workers': service.workers,
            'heartbeat': service.heartbeat_s,
            'parent_calls_tracked': 1,
        }
        main = MAIN.format(config=config, name=SERVICE, handlers=''.join(map(_handler, service.listeners)))
        (folder / 'main.py').write_text(main)

    def python(self) -> str:
        return installed()

    def is_dead(self, queue: str) -> bool:
        return False  # it has none

    def reason(self, headers: Mapping[str, Any]) -> str:
        raise NotImplementedError('it has no dead letters')


def _handler(listener: Listener) -> str:
    return HANDLER.format(source=SOURCE, event=listener.event, target=listener.target)


@cache
def installed() -> str:
    """The interpreter with nameko; installed where it is not yet."""
    python = FOLDER / 'bin' / 'python'
    if not python.exists():
        subprocess.run([sys.executable, '-m', 'venv', FOLDER], check=True)
    found = subprocess.run([python, '-c', 'import nameko'], check=False, capture_output=True)
    if found.returncode:
        subprocess.run([python, '-m', 'pip', 'install', '--quiet', *REQUIREMENTS], check=True)
    return str(python)
