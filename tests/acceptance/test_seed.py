"""The program of the README, in each mode: a thousand events in, a thousand events out, exit 0."""

import signal
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import MODES
from tests.support.amqp_client import Client
from tests.support.program import Program
from tests.support.rabbitmq import Node

MAIN = """\
import logging
from greenmicro.runner import Runner
from greenmicro.routes import Route
from greenmicro.amqp.entrypoints import EventListener
from greenmicro.amqp.dependencies import Producer

config = {'AMQP_URI': 'amqp://guest:guest@localhost:5672', 'MAX_WORKERS': 3,
          'SERVICE_NAME': 'my_service', 'WORKER_MODE': 'thread'}
logging.basicConfig(level=logging.INFO, format='%(message)s')
entrypoints = [EventListener('source_service', 'event_name',
                             route=Route('tasks.test', dependencies={'producer': Producer()}))]
if __name__ == '__main__':
    runner = Runner(entrypoints, config)
    runner.start()                               # blocks until SIGTERM / SIGINT
"""
TASKS = """\
def test(payload, producer):
    producer('event_name', {})
"""
QUEUE = 'evt-source_service-event_name--my_service.test'


@pytest.mark.parametrize('mode', MODES)
def test_a_thousand_events(
    mode: str, tmp_path: Path, rabbitmq: Node, vhost: str, amqp_uri: str, amqp_client: Client
) -> None:
    """Each event in gives one event out; SIGTERM ends it with 0 and leaves nothing behind."""
    (tmp_path / 'main.py').write_text(MAIN)
    (tmp_path / 'tasks.py').write_text(TASKS)
    amqp_client.declare_exchange('my_service.events')
    sink = amqp_client.declare_queue('sink')
    amqp_client.bind(sink, 'my_service.events', 'event_name')
    environment = {'GREENMICRO_AMQP_URI': amqp_uri, 'GREENMICRO_WORKER_MODE': mode}
    with Program(tmp_path, environment=environment) as program:
        program.wait_for('ready')
        amqp_client.publish_many('source_service.events', 'event_name', [{}] * 1000)
        produced = amqp_client.take(sink, 1000)
        told = time.monotonic()
        program.signal(signal.SIGTERM)
        assert program.wait() == 0
        assert time.monotonic() - told < 10
        assert not program.survivors()
    assert {message.routing_key for message in produced} == {'event_name'}
    assert {message.body for message in produced} == {b'{}'}
    counts = rabbitmq.queues(vhost)
    assert (counts[QUEUE].ready, counts[QUEUE].unacked) == (0, 0)
    assert (counts[sink].ready, counts[sink].unacked) == (0, 0)
    assert set(counts) == {QUEUE, sink}
