"""Caller: sends a service's requests, and gives each caller its own reply; one for all of a service."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import gevent
from gevent.event import AsyncResult

from greenmicro.amqp.topology import Subscription
from greenmicro.errors import CallLostError, CallTimeoutError, UnconfirmedError
from greenmicro.ids import new_id
from greenmicro.messages import SUCCEEDED, Call, Failure, Message, Publication, Reply, Settlement
from greenmicro.rpc.protocol import EXCHANGE, reply_queue

if TYPE_CHECKING:
    from greenmicro.brokers.base import Broker
    from greenmicro.settings import Settings

#: Replies are passed on as they come; so many are read ahead.
PREFETCH = 1_000
#: Who wakes so many seconds after its deadline was kept from it by a target that blocked the hub.
BLOCKED_FROM_S = 0.1


class Caller:
    """Has a queue of its own for replies; it is consumed until the last worker is done.

    A lost connection costs no reply: the queue stays, for five minutes without us, and takes what comes.

    Args:
        broker: Not yet started.
        settings: The service's settings.
    """

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._key = str(uuid.uuid4())
        self._waiting: dict[str, AsyncResult[Reply]] = {}
        broker.declare(EXCHANGE)
        queue = reply_queue(settings.service_name, self._key)
        self._consumer = broker.subscribe(
            Subscription(queue, EXCHANGE, self._key, PREFETCH, lasting=True), self._receive, self._lose
        )

    def begin(self, call: Call) -> AwaitedReply:
        """Send a request; returns at once, and never raises: what goes wrong is told to who waits."""
        correlation_id = new_id()
        asked = call.publication
        publication = asked._replace(
            properties={
                **asked.properties,
                'reply_to': self._key,
                'correlation_id': correlation_id,
                'message_id': correlation_id,
                'timestamp': int(time.time()),
            },
            timeout_s=call.timeout_s,
        )
        reply: AsyncResult[Reply] = AsyncResult()
        self._waiting[correlation_id] = reply
        deadline = time.monotonic() + call.timeout_s
        gevent.spawn(self._send, publication, reply, deadline)
        return AwaitedReply(self, reply, call, deadline)

    @property
    def losses(self) -> int:
        """How often the connection that replies come on was lost."""
        return self._consumer.losses

    def _send(self, publication: Publication, reply: AsyncResult[Reply], deadline: float) -> None:
        """Publish a request, and forget it at its deadline, whether anybody waits or not."""
        try:
            self._broker.publish(publication)
            # Not for the confirm: a reply may be here before it.
            reply.wait(max(0.0, deadline - time.monotonic()) + BLOCKED_FROM_S)
        except UnconfirmedError:
            pass  # it may have arrived, and been answered; the deadline is over
        except Exception as error:  # PublishError, PayloadError: for who waits
            if not reply.ready():
                reply.set_exception(error)
        finally:
            self._waiting.pop(publication.properties['correlation_id'], None)

    def _receive(self, message: Message) -> None:
        if self._consumer.begin(message):
            reply = self._waiting.pop(str(message.properties.get('correlation_id')), None)
            if reply is not None and not reply.ready():
                reply.set(Reply(message.body, message.properties, message.headers))
            self._consumer.settle(message, Settlement.ACK, SUCCEEDED)

    def _lose(self, message: Message, failure: Failure) -> None:
        self._receive(message)  # a reply harms nobody


class AwaitedReply:
    """Waits for the reply to one call."""

    def __init__(self, caller: Caller, reply: AsyncResult[Reply], call: Call, deadline: float) -> None:
        self._caller = caller
        self._reply = reply
        self._call = call
        self._deadline = deadline
        self._losses = caller.losses

    def wait(self, timeout_s: float | None = None) -> Reply:
        """Return the reply; see the contract of dependencies."""
        now = time.monotonic()
        until = self._deadline if timeout_s is None else min(self._deadline, now + timeout_s)
        self._reply.wait(max(0.0, until - now))
        late_s = time.monotonic() - until
        if late_s > BLOCKED_FROM_S:
            # A target has blocked the hub: the reply may be here, unread.
            self._reply.wait(min(late_s, self._call.timeout_s))
        elif until == self._deadline:
            # The publisher has the same deadline, and knows better what was wrong.
            self._reply.wait(BLOCKED_FROM_S)
        if self._reply.ready():
            return self._reply.get()  # type: ignore[return-value]  # a reply, or it raises
        raise self._overdue(until - now if timeout_s is None else timeout_s)

    def _overdue(self, waited_s: float) -> CallTimeoutError:
        name = self._call.publication.routing_key
        limit_s = self._call.timeout_s if time.monotonic() >= self._deadline else waited_s
        text = f'{name}: no reply within {limit_s:g} s'
        if self._caller.losses != self._losses:
            return CallLostError(f'{text}; the connection was lost meanwhile')
        return CallTimeoutError(text)
