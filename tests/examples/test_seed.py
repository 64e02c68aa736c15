"""The program that greenmicro was made for."""

import ast

import pytest

from tests.examples import EXAMPLES
from tests.support.program import Program

FOLDER = EXAMPLES / 'seed'
SEED = """
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
    runner.start()
"""


def test_the_program_is_unchanged():
    """Its user finds it here as it was written."""
    assert ast.dump(ast.parse((FOLDER / 'main.py').read_text())) == ast.dump(ast.parse(SEED))


@pytest.mark.parametrize('mode', ['thread', 'greedy_thread', 'process', 'greedy_process'])
def test_each_event_is_answered(mode, amqp_uri, rabbitmq, vhost):
    """Another program publishes ten events and sees ten; SIGTERM ends the service, nothing is left."""
    environment = {'GREENMICRO_AMQP_URI': amqp_uri}
    with Program(FOLDER, environment={**environment, 'GREENMICRO_WORKER_MODE': mode}) as service:
        service.wait_for('ready after')
        with Program(FOLDER, 'publish.py', environment=environment) as publisher:
            assert publisher.wait() == 0
            assert publisher.output == (
                'published 10 events on source_service.events\nreceived 10 events on my_service.events\n'
            )
        assert service.stop() == 0
        assert service.survivors() == []
    left = {name: (counts.ready, counts.unacked) for name, counts in rabbitmq.queues(vhost).items()}
    assert left['evt-source_service-event_name--my_service.test'] == (0, 0)
    assert not any(sum(counts) for counts in left.values())
