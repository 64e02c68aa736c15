"""The targets of both services."""

import os
import signal

from greenmicro.errors import RPCError

PRICES = {'apple': 3, 'pear': 5}


# Of the service `prices`.


def price(name, amount=1):
    """What so many of a thing cost."""
    return PRICES[name] * amount


def names():
    """All that has a price."""
    return sorted(PRICES)


# Of the service `shop`.

totals = []


def publish(payload, producer):
    """Publish all orders."""
    for order in payload['orders']:
        producer('order', {'names': order, 'orders': len(payload['orders'])})


def total(payload, prices):
    """Ask for all prices at once, then add them up."""
    calls = [prices.price.call_async(name, amount=1) for name in payload['names']]
    try:
        print(f'{payload["names"]}: {sum(call.result() for call in calls)}', flush=True)
    except RPCError as error:
        print(f'{payload["names"]}: no price ({error}), there are {prices.names()}', flush=True)
    totals.append(payload)
    if len(totals) == payload['orders']:
        os.kill(os.getpid(), signal.SIGINT)  # ends both services, as Ctrl-C does
