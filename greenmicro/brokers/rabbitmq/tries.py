"""Tries: a message is sent until the broker has answered to it, within its deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from math import isqrt

import gevent
from amqp.exceptions import NotFound

from greenmicro.brokers.rabbitmq.backoff import backoff
from greenmicro.brokers.rabbitmq.confirms import LostError, NackedError
from greenmicro.brokers.rabbitmq.window import Window
from greenmicro.errors import RefusedError, StoppingError, UnavailableError, UnconfirmedError

#: How often a message that the broker did not take is tried again (its queue is full, say), and the longest
#: delay before it, in seconds; together 0.2 s on average.
NACK_TRIES = 3
NACK_DELAY_S = 0.2

#: With fewer in flight each is at once sent again alone, when one of them made the broker close the channel.
#: Of 10,000 that would take as many round trips; in groups of 100 first it takes 200.
FEW = 32

#: Sends once and waits for the broker's answer; with how many in flight at most, 0 for no such limit.
Send = Callable[[int], None]


def send_until_taken(send: Send, window: Window, deadline: float) -> None:
    """Send; and again, after short delays, what the broker does not take.

    Args:
        send: Sends the message once.
        window: Where it flies.
        deadline: Until when, by the monotonic clock.

    Raises:
        PublishError: As `Broker.publish` has it.
    """
    delays: Iterator[float] = islice(backoff(NACK_DELAY_S), NACK_TRIES)
    while True:
        try:
            send_until_answered(send, window)
        except NackedError as nacked:
            delay = next(delays, None)
            if delay is None or time.monotonic() + delay >= deadline:
                raise RefusedError(str(nacked)) from None
            gevent.sleep(delay)
        else:
            return


def send_until_answered(send: Send, window: Window) -> None:
    """Send; and again what may not have arrived, with the same message_id, so that a consumer can tell.

    After a lost connection it is sent once more. When the broker closed the channel because of a message,
    and more than one was in flight, each is sent again, of many in smaller groups, and in the end alone: so
    the one that it was finds itself refused, and takes no other along.
    """
    lost: LostError | None = None
    reconnected = False
    group = 0
    try:
        while True:
            try:
                send(group)
            except LostError as error:
                lost = error
                if not error.by_message:
                    if reconnected:
                        raise UnconfirmedError(
                            f'the connection was lost twice before the confirm: {error}'
                        ) from None
                    reconnected = True
                # An exchange that was missing may be one of ours, and there again by then.
                elif error.count == 1 and (group or not isinstance(error.error, NotFound)):
                    raise RefusedError(f'the broker refused the message: {error}') from None
                else:
                    smaller = 1 if group or error.count < FEW else isqrt(error.count)
                    window.suspect(smaller, instead_of=group)
                    group = smaller
            except (UnavailableError, StoppingError) as error:
                if lost is None:
                    raise
                raise UnconfirmedError(
                    f'the connection was lost before the confirm ({lost}); it may have arrived; then: {error}'
                ) from None
            else:
                return
    finally:
        window.suspect(0, instead_of=group)
        window.let_in()
