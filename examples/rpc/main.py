"""Two services: one that knows prices, and one that asks it for those of each order."""

import logging

from greenmicro.amqp.dependencies import Producer
from greenmicro.amqp.entrypoints import EventListener
from greenmicro.entrypoints import Entrypoint
from greenmicro.routes import Route
from greenmicro.rpc.dependencies import RPCProxy
from greenmicro.rpc.entrypoints import RPCListener
from greenmicro.runner import Runner

# A broker inside this process, which both services name; with RabbitMQ each is a program of its own.
BROKER = 'memory://market'

prices = [
    RPCListener(Route('tasks.price')),
    RPCListener(Route('tasks.names')),
]


class Orders(Entrypoint):
    """Publishes three orders; in a real system others do."""

    def start(self):
        self.receive(self.message({'orders': [['apple', 'pear'], ['apple'] * 3, ['apple', 'unicorn']]}))


shop = [
    EventListener(
        'shop', 'order', route=Route('tasks.total', dependencies={'prices': RPCProxy('prices', timeout_s=5)})
    ),
    Orders(route=Route('tasks.publish', dependencies={'producer': Producer()})),
]

if __name__ == '__main__':
    logging.basicConfig(level=logging.WARNING, format='%(message)s')
    with Runner(prices, {'AMQP_URI': BROKER, 'SERVICE_NAME': 'prices'}):
        Runner(shop, {'AMQP_URI': BROKER, 'SERVICE_NAME': 'shop', 'MAX_WORKERS': 1}).start()
