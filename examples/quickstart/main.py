"""A shop in one service: a timer places orders, a listener ships them, a second one tells the customers."""

import logging
import time

from summary import CountedListener, CountedTimer

from greenmicro.amqp.dependencies import Producer
from greenmicro.routes import Route
from greenmicro.runner import Runner

ORDERS = 20
#: Where greenmicro keeps the orders that could not be shipped: the queue of `shipping`, and `.dead`.
DEAD_LETTERS = 'evt-shop-order_placed--shop.ship_order.dead'

logging.basicConfig(level=logging.INFO, format='%(message)s')

config = {
    'AMQP_URI': 'memory://',  # a broker inside this process; GREENMICRO_AMQP_URI names another one
    'SERVICE_NAME': 'shop',
    'WORKER_MODE': 'thread',
    'MAX_WORKERS': 3,
}

# CountedTimer is a TimeEntrypoint and CountedListener an EventListener; they count for the summary.
placing = CountedTimer(
    0.2,
    route=Route('tasks.place_order', dependencies={'producer': Producer()}),
    times=ORDERS,
)
shipping = CountedListener(
    'shop',
    'order_placed',
    route=Route('tasks.ship_order', dependencies={'producer': Producer()}),
)
telling = CountedListener('shop', 'order_shipped', route=Route('tasks.tell_customer'))

runner = Runner([placing, shipping, telling], config)


def stop_when_done():
    """End the demo when all orders are placed, and every event that came of them was handled."""
    if (
        placing.handled == ORDERS
        and shipping.handled + shipping.failed >= placing.handled
        and telling.handled + telling.failed >= shipping.handled
    ):
        runner.stop()


def print_summary(seconds):
    published = placing.handled + shipping.handled  # each of these runs published one event
    handled = shipping.handled + telling.handled
    failed = shipping.failed + telling.failed
    print(f'\nSummary: {seconds:.1f} s')
    print(f'  events published  {published:4}')
    print(f'  events handled    {handled:4}   {handled / seconds:.1f} per second')
    print(f'  events failed     {failed:4}' + (f'   kept in the queue {DEAD_LETTERS}' if failed else ''))


if __name__ == '__main__':
    for entrypoint in (placing, shipping, telling):
        entrypoint.on_settled = stop_when_done
    began = time.monotonic()
    runner.start()  # until stop_when_done, Ctrl-C or SIGTERM
    print_summary(time.monotonic() - began)
