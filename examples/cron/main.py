"""Work at the times of a cron expression, and at an interval once in all replicas."""

import logging

from greenmicro.cron import CronEntrypoint
from greenmicro.entrypoints import TimeEntrypoint
from greenmicro.routes import Route
from greenmicro.runner import Runner

config = {
    'AMQP_URI': 'memory://',  # with RabbitMQ, `once` holds for all replicas, wherever they run
    'SERVICE_NAME': 'reports',
}
entrypoints = [
    # Six fields begin with the second; '0 3 * * MON-FRI' is three o'clock on working days.
    CronEntrypoint('*/2 * * * * *', route=Route('tasks.report'), tz='Europe/Berlin'),
    TimeEntrypoint(1.0, route=Route('tasks.clean_up'), once='cluster'),
]

if __name__ == '__main__':
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    Runner(entrypoints, config).start()  # until Ctrl-C or SIGTERM
