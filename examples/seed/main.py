# ruff: noqa: I001   # the imports stand in the order in which greenmicro's first user wrote them
import logging
from greenmicro.runner import Runner
from greenmicro.routes import Route
from greenmicro.amqp.entrypoints import EventListener
from greenmicro.amqp.dependencies import Producer

config = {
    'AMQP_URI': 'amqp://guest:guest@localhost:5672',
    'MAX_WORKERS': 3,
    'SERVICE_NAME': 'my_service',
    'WORKER_MODE': 'thread',
}
logging.basicConfig(level=logging.INFO, format='%(message)s')
entrypoints = [
    EventListener(
        'source_service', 'event_name', route=Route('tasks.test', dependencies={'producer': Producer()})
    )
]
if __name__ == '__main__':
    runner = Runner(entrypoints, config)
    runner.start()
