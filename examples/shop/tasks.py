"""The target: all of an order is sold, or nothing."""


class OutOfStockError(Exception):
    """There is not enough of an item."""


def sell(order, session):
    """Take the items of an order from the stock, one after the other."""
    for item, amount in order['items'].items():
        session.execute('INSERT INTO sold VALUES (?, ?, ?)', (order['customer'], item, amount))
        enough = session.execute(
            'UPDATE stock SET amount = amount - ? WHERE item = ? AND amount >= ?', (amount, item, amount)
        )
        if not enough.rowcount:
            # What was sold before this item is rolled back by Session.
            raise OutOfStockError(f'{order["customer"]} wants {amount} of {item}')
