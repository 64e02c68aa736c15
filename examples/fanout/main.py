"""One message in, 200 HTTP calls out: they overlap, without async and await."""

import logging
import subprocess
import sys
from pathlib import Path

from greenmicro.entrypoints import Entrypoint
from greenmicro.routes import Route
from greenmicro.runner import Runner

config = {'AMQP_URI': 'memory://', 'SERVICE_NAME': 'fanout', 'WORKER_MODE': 'thread'}
logging.basicConfig(level=logging.INFO, format='%(message)s')


class Once(Entrypoint):
    """Hands its route one message, and stops the service when that is done.

    In a real service an EventListener stands here, and the messages come from other services.
    """

    def __init__(self, payload, route):
        super().__init__(route)
        self.payload = payload

    def start(self):
        self.receive(self.message(self.payload))

    def settle(self, message, settlement, outcome):
        runner.stop()


def start_server():
    """Start the slow web service, in a process of its own; return it and its port."""
    command = [sys.executable, str(Path(__file__).with_name('server.py'))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, int(process.stdout.readline())


if __name__ == '__main__':
    server, port = start_server()
    with server:
        message = {'host': '127.0.0.1', 'port': port, 'calls': 200}
        runner = Runner([Once(message, route=Route('tasks.fetch_all'))], config)
        runner.start()
        server.stdin.close()
