"""Tries: a message is sent until the broker has answered to it, within its deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice

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

#: Sends once and waits for the broker's answer.
Send = Callable[[], None]


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
    and more than one was in flight, each is sent again alone: so the one that it was finds itself refused,
    and takes no other along.
    """
    lost: LostError | None = None
    suspected = reconnected = False
    try:
        while True:
            try:
                send()
            except LostError as error:
                lost = error
                if not error.by_message:
                    if reconnected:
                        raise UnconfirmedError(
                            f'the connection was lost twice before the confirm: {error}'
                        ) from None
                    reconnected = True
                # An exchange that was missing may be one of ours, and there again by then.
                elif error.alone and (suspected or not isinstance(error.error, NotFound)):
                    raise RefusedError(f'the broker refused the message: {error}') from None
                elif not suspected:
                    suspected = True
                    window.suspects += 1
            except (UnavailableError, StoppingError) as error:
                if lost is None:
                    raise
                raise UnconfirmedError(
                    f'the connection was lost before the confirm ({lost}); it may have arrived; then: {error}'
                ) from None
            else:
                return
    finally:
        window.suspects -= suspected
        window.let_in()
