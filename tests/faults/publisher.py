"""Publisher: sends numbered messages and remembers what the broker has confirmed (A) and what not (U)."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pika
import pika.exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from tests.faults.tier import Course
from tests.support.amqp_client import Client
from tests.support.raw_amqp import RawPublisher, short

RETRY_S, AHEAD_S = 0.02, 0.05
#: The flags of content type, content encoding and delivery mode, and these: persistent JSON.
PLAIN = b'\xd0\x00' + short(b'application/json') + short(b'utf-8') + b'\x02'
#: A connector's own errors are no AMQPErrors: its time-out on a frozen broker for one.
FAULTS = (pika.exceptions.AMQPError, AMQPConnectorException, OSError)


class Publisher:
    """Another program that publishes events, straight to the broker, whatever the broker suffers.

    Args:
        uri: where the broker is.
        exchange: where it publishes.
        routing_key: with which key, unless told otherwise.
        course: how it pauses under load, and how long it may take.
        done: how many messages are finished; a load may be only so far ahead of that.

    Attributes:
        confirmed: A: the ids that were confirmed.
        confirmed_at: when, on the monotonic clock, of those that were sent one by one.
        unknown: U: the ids whose publish failed.
        issued: how many ids it has given out; each ends in its number.
    """

    def __init__(
        self, uri: str, exchange: str, routing_key: str, course: Course, done: Callable[[], int]
    ) -> None:
        self.uri = uri
        self.exchange = exchange
        self.routing_key = routing_key
        self.course = course
        self.done = done
        self.confirmed: set[str] = set()
        self.confirmed_at: dict[str, float] = {}
        self.unknown: set[str] = set()
        self.issued = 0
        self._loads: list[tuple[Any, list[bool]]] = []

    def send(self, count: int, routing_key: str | None = None, **fields: Any) -> list[str]:
        """Publish until so many more are confirmed, on new connections if need be; return their ids."""
        key = routing_key or self.routing_key
        lanes = min(self.course.lanes, count)
        shares = [count // lanes + (lane < count % lanes) for lane in range(lanes)]
        sending = [gevent.spawn(self._send, share, key, fields) for share in shares]
        try:
            return [name for lane in sending for name in lane.get()]
        finally:
            gevent.killall(sending)

    def load(self, pause_s: float = 0.01, **fields: Any) -> None:
        """Publish in the background, with a pause after each, until `stop`."""
        for _ in range(self.course.lanes):
            going = [True]
            pauses = self.course.pauses(pause_s)
            self._loads.append((gevent.spawn(self._load, pauses, fields, going), going))

    def stop(self, timeout_s: float = 30.0) -> None:
        """End the loads; what is being published is waited for."""
        loads, self._loads = self._loads, []
        for _, going in loads:
            going[0] = False
        for greenlet, _ in loads:
            greenlet.join(timeout_s)
            if not greenlet.ready():
                greenlet.kill()
                raise TimeoutError(f'a publish to the broker hung for {timeout_s} s')
            greenlet.get()

    def wait_for(self, more: int, timeout_s: float = 30.0) -> None:
        """Return when so many more than now are confirmed."""
        self.reach(len(self.confirmed) + more, timeout_s)

    def reach(self, wanted: int, timeout_s: float = 30.0) -> None:
        """Return when so many are confirmed in all."""
        more = wanted - len(self.confirmed)
        patience_s = self.course.patience(timeout_s, more)
        with gevent.Timeout(patience_s, TimeoutError(f'{more} more messages were not confirmed')):
            while len(self.confirmed) < wanted:
                gevent.sleep(0.01)

    def fresh(self, prefix: str = '') -> str:
        """A new id."""
        self.issued += 1
        return f'{prefix}{self.issued - 1}'

    def raw(self, body: bytes, name: str | None = None, **properties: Any) -> str:
        """Publish a body as it is; returns its id, which goes along as message_id."""
        name = name or self.fresh('raw-')
        full = {'content_type': 'application/json', 'content_encoding': 'utf-8', 'message_id': name}
        with Client(self.uri) as client:
            client.publish(self.exchange, self.routing_key, body, **{**full, **properties})
        self.confirmed.add(name)
        return name

    def forged(self, body: bytes, name: str, properties: pika.BasicProperties) -> str:
        """Publish with properties that write themselves; returns its id."""
        with Client(self.uri) as client:
            client.channel.basic_publish(self.exchange, self.routing_key, body, properties, mandatory=True)
        self.confirmed.add(name)
        return name

    def bulk(self, count: int, routing_key: str | None = None, **fields: Any) -> None:
        """Publish very many, a thousand at a time: some 20,000 a second."""
        names = [self.fresh('bulk-') for _ in range(count)]
        rest = json.dumps(fields)[1:-1]
        bodies = (f'{{"id": "{name}"{", " * bool(rest)}{rest}}}'.encode() for name in names)
        with RawPublisher(self.uri) as publisher:
            publisher.stream(self.exchange, routing_key or self.routing_key, PLAIN, bodies)
        self.confirmed.update(names)

    def _send(self, count: int, routing_key: str, fields: dict[str, Any]) -> list[str]:
        sent: list[str] = []

        def one(client: Client) -> bool:
            sent.append(self._publish(client, routing_key, fields))
            return len(sent) < count

        self._insist(one)
        return sent

    def _load(self, pauses: Iterator[float], fields: dict[str, Any], going: list[bool]) -> None:
        def one(client: Client) -> bool:
            self._publish(client, self.routing_key, fields)
            gevent.sleep(next(pauses))
            while going[0] and self.course.too_far(len(self.confirmed), self.done):
                gevent.sleep(AHEAD_S)
            return going[0]

        self._insist(one)

    def _publish(self, client: Client, routing_key: str, fields: dict[str, Any]) -> str:
        name = self.fresh()
        # Unknown until it is known: also when this greenlet is killed in the middle.
        self.unknown.add(name)
        client.publish(self.exchange, routing_key, {'id': name, **fields}, message_id=name)
        self.unknown.discard(name)
        self.confirmed.add(name)
        self.confirmed_at[name] = time.monotonic()
        return name

    def _insist(self, one: Callable[[Client], bool]) -> None:
        going = True
        while going:
            try:
                with Client(self.uri) as client:
                    while going:
                        going = one(client)
            except FAULTS:
                gevent.sleep(RETRY_S)
