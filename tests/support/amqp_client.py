"""Another program's view of the broker: a blocking AMQP client on pika, independent of what is tested."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker, UnroutableError

from tests.support.patience import PATIENCE_S

POLL_S = 0.01
NOT_FOUND = 404


@dataclass(frozen=True)
class Received:
    """One message as the broker delivered it.

    Attributes:
        body: its bytes.
        properties: pika's properties, with `headers`, `message_id`, `content_type` and the rest.
        exchange: where it was published.
        routing_key: what it was published with.
        redelivered: whether the broker says that it was delivered before.
        delivery_tag: what `Client.ack` and `Client.nack` take.
    """

    body: bytes
    properties: pika.BasicProperties
    exchange: str
    routing_key: str
    redelivered: bool
    delivery_tag: int

    @property
    def payload(self) -> Any:
        """The body, decoded from JSON."""
        return json.loads(self.body)

    @property
    def headers(self) -> dict[str, Any]:
        """The headers, empty when the message has none."""
        return self.properties.headers or {}


class Client:
    """Declares, publishes and reads as another program would.

    A client serves one greenlet, since pika's connection cannot be shared. It negotiates no heartbeats, so it
    may be left alone while a test waits for something else.

    Args:
        uri: the address of the broker and vhost.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._connection: pika.BlockingConnection | None = None
        self._channel: BlockingChannel | None = None

    def open(self) -> 'Client':
        """Connect, and have every publish confirmed; returns itself."""
        parameters = pika.URLParameters(self.uri)
        parameters.heartbeat = 0
        self._connection = pika.BlockingConnection(parameters)
        self._channel = self._new_channel()
        return self

    def close(self) -> None:
        """Close the connection; the broker gives unacked messages back."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.is_open:
            connection.close()

    @property
    def channel(self) -> BlockingChannel:
        """The channel, in confirm mode; a new one when the broker has closed the last."""
        assert self._channel is not None, 'the client is not open'
        if self._channel.is_closed:
            self._channel = self._new_channel()
        return self._channel

    def declare_exchange(self, name: str, kind: str = 'topic', *, durable: bool = True) -> str:
        """Declare an exchange and return its name."""
        self.channel.exchange_declare(name, kind, durable=durable)
        return name

    def declare_queue(
        self, name: str = '', *, durable: bool = True, arguments: dict[str, Any] | None = None
    ) -> str:
        """Declare a queue and return its name; one without a name is exclusive to this client."""
        declared = self.channel.queue_declare(
            name, durable=durable and bool(name), exclusive=not name, arguments=arguments
        )
        return str(declared.method.queue)

    def bind(self, queue: str, exchange: str, routing_key: str) -> None:
        """Bind a queue to an exchange."""
        self.channel.queue_bind(queue, exchange, routing_key)

    def delete_queue(self, queue: str) -> None:
        """Delete a queue with what it holds."""
        self.channel.queue_delete(queue)

    def purge(self, queue: str) -> int:
        """Drop what is ready in a queue and return how much it was."""
        return int(self.channel.queue_purge(queue).method.message_count)

    def queue_counts(self, queue: str) -> tuple[int, int]:
        """The ready messages and the consumers of a queue (unacked ones: `Node.queues`).

        Raises:
            LookupError: there is no such queue.
        """
        try:
            counts = self.channel.queue_declare(queue, passive=True).method
        except ChannelClosedByBroker as error:
            if error.reply_code != NOT_FOUND:
                raise
            raise LookupError(f'there is no queue {queue!r}') from error
        return counts.message_count, counts.consumer_count

    def wait_for_counts(
        self,
        queue: str,
        *,
        ready: int | None = None,
        consumers: int | None = None,
        timeout_s: float = PATIENCE_S,
    ) -> None:
        """Return as soon as the queue exists and has so many ready messages and consumers.

        Raises:
            TimeoutError: it did not come to that; with the last counts seen.
        """
        wanted = (ready, consumers)
        deadline = time.monotonic() + timeout_s
        while True:
            seen = self._counts_or_none(queue)
            if seen is not None and all(
                want in (None, have) for want, have in zip(wanted, seen, strict=True)
            ):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f'{queue}: wanted (ready, consumers) {wanted}, last seen {seen}')
            time.sleep(POLL_S)

    def publish(
        self, exchange: str, routing_key: str, payload: Any, *, mandatory: bool = True, **properties: Any
    ) -> None:
        """Publish one persistent message and return when the broker has confirmed it.

        Args:
            exchange: the exchange's name, '' for the default one.
            routing_key: the event's name, or the queue's on the default exchange.
            payload: bytes go as they are, anything else as JSON.
            mandatory: whether it is an error when no queue gets it.
            properties: of pika.BasicProperties, such as headers and message_id.

        Raises:
            pika.exceptions.UnroutableError: no queue is bound for it.
        """
        body, full = encode(payload, properties)
        self.channel.basic_publish(exchange, routing_key, body, full, mandatory)

    def publish_many(
        self, exchange: str, routing_key: str, payloads: Iterable[Any], **properties: Any
    ) -> int:
        """Publish in one stream and return when the broker has taken it in, far faster than one by one.

        Returns:
            How many it were; all of them are routed to their queues now.

        Raises:
            pika.exceptions.UnroutableError: no queue is bound for them.
        """
        assert self._connection is not None, 'the client is not open'
        channel = self._connection.channel()
        returned: list[Any] = []
        channel.add_on_return_callback(lambda *parts: returned.append(parts))
        count = 0
        for payload in payloads:
            count += 1
            body, full = encode(payload, properties)
            channel.basic_publish(exchange, routing_key, body, full, mandatory=True)
        # A channel works in order: once it answers this, it has routed or returned all that came before.
        channel.basic_qos(prefetch_count=0)
        self._connection.process_data_events(0)
        # It stays open: a quorum queue forgets what of a closed channel's it has not come to [117 of 6,000].
        if returned:
            raise UnroutableError(returned)
        return count

    def get(self, queue: str, timeout_s: float = PATIENCE_S, *, ack: bool = True) -> Received:
        """Take one message.

        Raises:
            TimeoutError: none came in time.
        """
        return self.take(queue, 1, timeout_s, ack=ack)[0]

    def take(
        self, queue: str, count: int, timeout_s: float = PATIENCE_S, *, ack: bool = True
    ) -> list[Received]:
        """Consume until so many messages have come; what comes beyond them is given back.

        Raises:
            TimeoutError: they did not all come in time; with how many did.
        """
        taken: list[Received] = []
        for message in self.stream(queue, timeout_s, prefetch=count):
            taken.append(message)
            if ack:
                self.ack(message)
            if len(taken) == count:
                return taken
        raise TimeoutError(f'{queue}: {len(taken)} of {count} messages within {timeout_s} s')

    def stream(self, queue: str, timeout_s: float, *, prefetch: int = 1000) -> Iterator[Received]:
        """Yield messages, which the caller acks, until the time is over; leaving the loop ends it."""
        deadline = time.monotonic() + timeout_s
        channel = self.channel
        channel.basic_qos(prefetch_count=min(prefetch, 65_535))
        try:
            while (left_s := deadline - time.monotonic()) > 0:
                method, properties, body = next(channel.consume(queue, inactivity_timeout=left_s))
                if method is None:
                    return
                yield received(method, properties, body)
        finally:
            if channel.is_open:
                channel.cancel()

    def ack(self, message: Received) -> None:
        """Settle a message as done."""
        self.channel.basic_ack(message.delivery_tag)

    def nack(self, message: Received, *, requeue: bool = True) -> None:
        """Give a message back, or drop it."""
        self.channel.basic_nack(message.delivery_tag, requeue=requeue)

    def __enter__(self) -> 'Client':
        return self.open()

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _new_channel(self) -> BlockingChannel:
        assert self._connection is not None, 'the client is not open'
        channel = self._connection.channel()
        channel.confirm_delivery()
        return channel

    def _counts_or_none(self, queue: str) -> tuple[int, int] | None:
        try:
            return self.queue_counts(queue)
        except LookupError:
            return None


def encode(payload: Any, properties: dict[str, Any]) -> tuple[bytes, pika.BasicProperties]:
    """A payload's bytes and the properties of a persistent message."""
    if isinstance(payload, bytes):
        return payload, pika.BasicProperties(**{'delivery_mode': 2, **properties})
    defaults = {'delivery_mode': 2, 'content_type': 'application/json', 'content_encoding': 'utf-8'}
    return json.dumps(payload).encode(), pika.BasicProperties(**{**defaults, **properties})


def received(method: Any, properties: pika.BasicProperties, body: bytes) -> Received:
    """What pika delivered, as our value."""
    return Received(
        body=body,
        properties=properties,
        exchange=method.exchange,
        routing_key=method.routing_key,
        redelivered=method.redelivered,
        delivery_tag=method.delivery_tag,
    )
