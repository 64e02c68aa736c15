"""Orders over HTTP: placed, looked up, listed, cancelled."""

import logging

from greenmicro.http.dependencies import HTTPRequest
from greenmicro.http.entrypoints import HTTPEntrypoint
from greenmicro.routes import Route
from greenmicro.runner import Runner

config = {
    'AMQP_URI': 'memory://',  # a broker inside this process; GREENMICRO_AMQP_URI names another one
    'SERVICE_NAME': 'orders',
    'WORKER_MODE': 'thread',
    'HTTP_ADDRESS': '127.0.0.1:8000',  # ':8000' for all addresses, as in a container
}
entrypoints = [
    HTTPEntrypoint('POST', '/orders', route=Route('tasks.place_order')),
    HTTPEntrypoint('GET', '/orders', route=Route('tasks.list_orders')),
    HTTPEntrypoint('GET', '/orders/<int:id>', route=Route('tasks.get_order')),
    HTTPEntrypoint('DELETE', '/orders/<int:id>', route=Route('tasks.cancel_order')),
    HTTPEntrypoint(
        'PUT',
        '/orders/<int:id>/photo',
        route=Route('tasks.keep_photo', dependencies={'request': HTTPRequest()}),
        raw=True,
    ),
]

if __name__ == '__main__':
    logging.basicConfig(level=logging.INFO, format='%(message)s')
    Runner(entrypoints, config).start()  # until Ctrl-C or SIGTERM
