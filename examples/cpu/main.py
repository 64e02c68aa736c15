"""CPU-bound work in process mode: all cores are busy, and the service stays responsive."""

import logging
import os
import resource
import time

from greenmicro.entrypoints import Entrypoint, TimeEntrypoint
from greenmicro.routes import Route
from greenmicro.runner import Runner

JOBS = 12
TICK_S = 0.2

config = {
    'AMQP_URI': 'memory://',
    'SERVICE_NAME': 'primes',
    'WORKER_MODE': 'process',  # one child process a CPU, unless MAX_WORKERS says otherwise
}
logging.basicConfig(level=logging.INFO, format='%(message)s')


class Jobs(Entrypoint):
    """Hands its route so many jobs, and stops the service when all are done.

    In a real service an EventListener stands here, and the jobs come from other services.
    """

    def __init__(self, count, route):
        super().__init__(route)
        self.count = count
        self.left = count

    def start(self):
        for number in range(1, self.count + 1):
            self.receive(self.message({'job': number, 'below': 150_000}))

    def settle(self, message, settlement, outcome):
        self.left -= 1
        if not self.left:
            runner.stop()


class Pulse(TimeEntrypoint):
    """Ticks, and notes how late the latest tick was: it is late when the service was blocked."""

    latest_s = 0.0

    def start(self):
        self.due = time.monotonic() + self.interval_s
        super().start()

    def tick(self):
        late_s = time.monotonic() - self.due
        self.latest_s = max(self.latest_s, late_s)
        self.due += self.interval_s * (1 + int(late_s / self.interval_s))
        super().tick()


jobs = Jobs(JOBS, route=Route('tasks.count_primes'))
pulse = Pulse(TICK_S, route=Route('tasks.tick'))
runner = Runner([jobs, pulse], config)


def cpu_seconds():
    """The CPU time of this process, and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == '__main__':
    print(f'{os.cpu_count()} CPUs, service process {os.getpid()}', flush=True)
    began, used = time.monotonic(), cpu_seconds()
    runner.start()
    took, used = time.monotonic() - began, cpu_seconds() - used
    print(f'{JOBS} jobs in {took:.1f} s with {used:.1f} s of CPU time: {used / took:.1f} CPUs were busy')
    print(f'{pulse.ticks} ticks of the service, the latest {pulse.latest_s * 1000:.0f} ms late')
