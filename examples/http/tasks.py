"""What the service does: each function is the target of a route in main.py."""

import json
from pathlib import Path

from greenmicro.http.signals import HTTPError
from greenmicro.http.values import Response

#: A folder in place of a database: in process modes targets share no memory.
FOLDER = Path('orders')


def place_order(order):
    """POST /orders: the payload is the decoded body."""
    if not isinstance(order, dict) or 'town' not in order:
        raise HTTPError(422, 'an order has a town', field='town')
    FOLDER.mkdir(exist_ok=True)
    id = 1
    while True:  # the next number that nobody has taken
        try:
            with (FOLDER / f'{id}.json').open('x') as file:
                json.dump({'id': id, 'town': order['town']}, file)
            break
        except FileExistsError:
            id += 1
    return Response({'id': id}, status=201, headers={'Location': f'/orders/{id}'})


def list_orders(query):
    """GET /orders?town=Cork: without a body the payload is the query."""
    orders = (json.loads(file.read_text()) for file in sorted(FOLDER.glob('*.json')))
    return [order for order in orders if query.get('town') in (None, order['town'])]


def get_order(query, id):
    """GET /orders/7: parts of the path come by keyword; what is returned is answered in JSON."""
    try:
        return json.loads((FOLDER / f'{id}.json').read_text())
    except FileNotFoundError:
        raise HTTPError(404, 'there is no such order', order=id) from None


def cancel_order(query, id):
    """DELETE /orders/7: None is 204, no content."""
    (FOLDER / f'{id}.json').unlink(missing_ok=True)


def keep_photo(photo, id, request):
    """PUT /orders/7/photo: with raw=True the payload is the body's bytes."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f'{id}.photo').write_bytes(photo)
    return {'bytes': len(photo), 'type': request.headers.get('content-type')}
