"""What the shop does: each function is the target of a route in main.py."""

import logging
import time

TOWNS = ('Athens', 'Bergen', 'Cork', 'Delft', 'Essen', 'Faro', 'Ghent', 'Atlantis', 'Izmir', 'Jena')

logger = logging.getLogger('shop')


def place_order(payload, producer):
    """Runs at each tick; publishes an order."""
    number = payload['tick']
    order = {'order': number, 'town': TOWNS[number % len(TOWNS)]}
    logger.info('order %-3d placed, to be shipped to %s', number, order['town'])
    producer('order_placed', order)


def ship_order(order, producer):
    """Runs for each order_placed; publishes that the order was shipped."""
    time.sleep(0.1)  # some I/O: other orders are worked on meanwhile
    if order['town'] == 'Atlantis':
        logger.info(
            'order %-3d FAILS on purpose: greenmicro logs the error and keeps the message', order['order']
        )
        raise LookupError('nobody knows the way to Atlantis')
    logger.info('order %-3d   shipped', order['order'])
    producer('order_shipped', order)


def tell_customer(order):
    """Runs for each order_shipped."""
    logger.info('order %-3d     its customer in %s knows', order['order'], order['town'])
