"""Session: one connection of a client, from its start to its loss; any thread may send on it."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from typing import Any

from amqp.exceptions import AMQPError
from amqp.method_framing import frame_writer

from greenmicro.amqp.topology import Exchange
from greenmicro.brokers.rabbitmq.plain import plain_client
from greenmicro.brokers.rabbitmq.publications import pack_publication
from greenmicro.errors import CallLostError, PublishError, RefusedError, UnroutableError
from greenmicro.messages import Publication, Reply
from greenmicro.rpc.protocol import EXCHANGE
from greenmicro.settings import Settings

#: How often, in seconds, the reader looks whether it is to end, and sees to heartbeats.
LOOK_S = 0.25
#: How long, in seconds, a close waits for the reader, which may be in the middle of a frame.
GOODBYE_S = 5.0


class LostError(PublishError):
    """The connection was lost before the broker had confirmed the message.

    Attributes:
        why: What it was lost by.
    """

    def __init__(self, why: Exception) -> None:
        super().__init__(f'the connection was lost: {why}')
        self.why = why


class Session:
    """A connection with one channel, a queue of replies that goes with it, and a thread that reads it.

    Args:
        settings: The client's settings.
        uri: Where the broker is, one host.
        key: The routing key of the replies, a uuid.
    """

    def __init__(self, settings: Settings, uri: str, key: str) -> None:
        self._settings = settings
        self._uri = uri
        self.key = key
        self._lock = (
            threading.Lock()
        )  # of the socket's writing end, and of what is counted by what is written
        self._waiting: dict[str, Future[Reply]] = {}
        self._flights: dict[int, Future[None]] = {}
        self._by_id: dict[str, Future[None]] = {}  # of those that have to be taken by a queue
        self._declared: set[Exchange] = set()
        self._sent = 0
        self._ending = False
        self._connection: Any = None
        self._channel: Any = None
        self._reader = threading.Thread(target=self._read, name='greenmicro client', daemon=True)
        self.error: Exception | None = None

    def open(self, timeout_s: float) -> None:
        """Connect, and begin to read.

        Raises:
            OSError: There is no broker, or none in time.
            AMQPError: It refuses us.
            BrokerError: What is said of TLS cannot be.
        """
        settings = self._settings
        client = plain_client(
            self._uri,
            settings.amqp_ssl,
            f'{settings.service_name} client',
            timeout_s,
            frame_writer=self._locked_writer,
            heartbeat=settings.heartbeat_s,
        )
        connection = client.transport.establish_connection()
        try:
            # amqp reads on each publish where that was announced; here one thread reads.
            connection.client_properties['capabilities'].pop('connection.blocked', None)
            connection.sock.settimeout(2 * settings.heartbeat_s)
            self._open_channel(connection)
        except BaseException:
            connection.collect()
            raise
        self._connection = connection
        self._reader.start()

    def _open_channel(self, connection: Any) -> None:
        channel = self._channel = connection.channel()
        channel.auto_decode = False
        channel.confirm_select()
        channel.exchange_declare(EXCHANGE.name, EXCHANGE.kind, durable=True, auto_delete=False)
        queue = f'rpc.reply-{self._settings.service_name}-{self.key}'
        channel.queue_declare(queue, exclusive=True, auto_delete=True)
        channel.queue_bind(queue, EXCHANGE.name, self.key)
        channel.basic_consume(queue, no_ack=True, callback=self._take_reply)
        channel.events['basic_ack'].add(self._confirm)
        channel.events['basic_nack'].add(self._refuse)
        channel.events['basic_return'].add(self._bounce)

    def _locked_writer(self, connection: Any, transport: Any) -> Callable[..., None]:
        write = frame_writer(connection, transport)

        def locked(*frame: Any) -> None:
            with self._lock:
                write(*frame)

        return locked

    # On any thread.

    def send(self, publication: Publication, reply: Future[Reply] | None = None) -> Future[None]:
        """Write a message; returns what tells the broker's answer.

        Args:
            publication: The message; a request has its correlation id.
            reply: What is to be told of the reply.

        Raises:
            PayloadError: AMQP cannot carry it.
        """
        frames = pack_publication(self._channel.channel_id, publication, self._connection.frame_max)
        flight: Future[None] = Future()
        if publication.mandatory:
            message_id = publication.properties['message_id']
            self._by_id[message_id] = flight
            flight.add_done_callback(lambda _: self._by_id.pop(message_id, None))
        with self._lock:
            error = self.error
            if error is None:
                self._sent += 1
                self._flights[self._sent] = flight
                if reply is not None:
                    self._waiting[publication.properties['correlation_id']] = reply
                    flight.add_done_callback(lambda landed: _pass_on(landed, reply))
                try:
                    self._connection.transport.write(frames)
                except OSError as failed:
                    error = failed
        if error is not None:
            self._lose(error)
            _fail(flight, LostError(error))
        return flight

    def declare(self, exchanges: Iterable[Exchange]) -> None:
        """Have exchanges declared on this connection, each once; without waiting for an answer."""
        for exchange in {*exchanges} - self._declared:
            self._declared.add(exchange)
            try:
                self._channel.exchange_declare(
                    exchange.name,
                    exchange.kind,
                    durable=exchange.durable,
                    auto_delete=exchange.auto_delete,
                    nowait=True,
                )
            except (AMQPError, OSError) as error:
                self._lose(error)

    def forget(self, correlation_id: str) -> None:
        """Wait for a reply no longer."""
        self._waiting.pop(correlation_id, None)

    def close(self) -> None:
        """Say goodbye, if the broker is still there."""
        self._ending = True
        if self._reader.is_alive() and self._reader is not threading.current_thread():
            self._reader.join(GOODBYE_S)
        if self.error is None and not self._reader.is_alive():  # else the broker may be stuck, or the reader
            try:
                self._connection.close()
            except (AMQPError, OSError):
                self._connection.collect()
        else:
            self._connection.collect()
        self._lose(self.error or ConnectionError('the client was closed'))

    def abandon(self) -> None:
        """Let go of it in a process that was forked; its parent goes on with it."""
        self._ending = True
        self.error = ConnectionError('this process was forked')

    # On the reader's thread.

    def _read(self) -> None:
        try:
            while not self._ending:
                if self._has_data():
                    self._connection.drain_events()
                self._connection.heartbeat_tick()
        except Exception as error:
            # Any: a peer may send what amqp cannot read.
            self._lose(error)
            self._connection.collect()

    def _has_data(self) -> bool:
        transport, sock = self._connection.transport, self._connection.sock
        if transport._read_buffer or (hasattr(sock, 'pending') and sock.pending()):
            return True
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(LOOK_S * 1000))

    def _lose(self, error: Exception) -> None:
        with self._lock:
            if self.error is None:
                self.error = error
            flights, self._flights = self._flights, {}
            waiting, self._waiting = self._waiting, {}
        for flight in flights.values():
            _fail(flight, LostError(error))
        for reply in waiting.values():
            _fail(reply, CallLostError(f'the connection was lost, and the reply with it: {error}'))

    def _take_reply(self, message: Any) -> None:
        properties = dict(message.properties)
        headers = properties.pop('application_headers', None) or {}
        reply = self._waiting.pop(str(properties.get('correlation_id')), None)
        if reply is not None:
            reply.set_result(Reply(bytes(message.body), properties, headers))

    def _confirm(self, tag: int, multiple: bool) -> None:
        for flight in self._landed(tag, multiple):
            try:
                flight.set_result(None)
            except InvalidStateError:
                pass  # it came back before

    def _refuse(self, tag: int, multiple: bool) -> None:
        for flight in self._landed(tag, multiple):
            _fail(flight, RefusedError('the broker refused the message'))

    def _landed(self, tag: int, multiple: bool) -> list[Future[None]]:
        with self._lock:
            tags = [one for one in self._flights if one <= tag] if multiple else [tag]
            flights = [self._flights.pop(one, None) for one in tags]
        return [flight for flight in flights if flight is not None]

    def _bounce(self, exception: Any, exchange: str, routing_key: str, message: Any) -> None:
        """Take a message that no queue takes; its ack follows, and finds it landed."""
        flight = self._by_id.get(message.properties.get('message_id'))
        if flight is not None:
            _fail(flight, UnroutableError(f'no queue takes the message: {exception}'))


def _pass_on(flight: Future[None], reply: Future[Reply]) -> None:
    """Tell who waits for a reply that the request was not taken."""
    error = flight.exception()
    if isinstance(error, LostError):
        _fail(reply, CallLostError(str(error)))
    elif isinstance(error, Exception):
        _fail(reply, error)


def _fail(future: Future[Any], error: Exception) -> None:
    """Tell who waits of an error, unless they were told something already."""
    try:
        future.set_exception(error)
    except InvalidStateError:
        pass  # the broker's answer and the loss of the connection may meet
