"""Client: calls services and publishes events from any program, without gevent and from any thread."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from types import TracebackType
from typing import Any

from amqp.exceptions import AMQPError, ChannelError

from greenmicro.amqp.dependencies import publish
from greenmicro.amqp.topology import Exchange, event_exchange
from greenmicro.dependencies import WorkerContext
from greenmicro.errors import (
    BrokerError,
    CallTimeoutError,
    ConfigError,
    RefusedError,
    StoppingError,
    UnavailableError,
    UnconfirmedError,
)
from greenmicro.messages import Call, Message, Publication, Reply
from greenmicro.rpc.dependencies import ServiceProxy
from greenmicro.settings import Settings
from greenmicro.standalone.session import LostError, Session

#: How long, in seconds, between two tries to connect.
RETRY_S = 0.2


class Client:
    """Calls services and publishes events, from scripts, shells and web applications.

    It connects when it is first used, and again when its connection was lost; calls that wait for a reply
    at that moment raise `CallLostError`. Its queue of replies goes with the connection. A process that was
    forked while a client was open connects anew.

    Args:
        config: As services have it: AMQP_URI, and where wanted AMQP_SSL, CALL_TIMEOUT_S, CONFIRM_TIMEOUT_S,
            CONNECT_TIMEOUT_S, HEARTBEAT_S, MAX_BODY_MB. SERVICE_NAME is `standalone` if it is not given.

    Raises:
        ConfigError: The config has faults; all of them.

    Example:
        >>> with Client({'AMQP_URI': 'amqp://guest:guest@localhost:5672'}) as client:
        ...     total = client['orders'].total(customer=7)
        ...     call = client['orders'].report.call_async()
        ...     client.emit('shop', 'opened', {'at': 8})
        ...     print(total, call.result())
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._settings = Settings.load({'SERVICE_NAME': 'standalone', **config}, os.environ)
        if self._settings.amqp_uri.startswith('memory:'):
            raise ConfigError('AMQP_URI: a client needs a broker that others reach, found memory://')
        self._opening = threading.Lock()
        self._session: Session | None = None
        self._pid = os.getpid()
        self._closed = False
        self._exchanges: set[Exchange] = set()

    def __getitem__(self, service: str) -> ServiceProxy:
        """Return the stand-in for a service, whose attributes are its methods; see `RPCProxy`."""
        return ServiceProxy(self._context(), service, None)

    def emit(self, source_service: str, event_name: str, payload: Any, **options: Any) -> None:
        """Publish an event as if a service had, and return when the broker has confirmed it.

        Args:
            source_service: The service whose event it is.
            event_name: The event's name.
            payload: Anything that JSON, with kombu's type tags, can carry.
            **options: As `producer` has them, `delay_s` aside.

        Raises:
            PayloadError: The payload cannot be encoded; nothing was sent.
            PublishError: The event is not known to be safe with the broker.
        """
        if 'delay_s' in options:
            raise TypeError('delay_s: a client cannot hold events back; publish it from a target')
        exchange = event_exchange(source_service, self._settings)
        if exchange.declared:
            self._exchanges.add(exchange)
        publish(self._context(), exchange.name, event_name, payload, **options)

    def close(self) -> None:
        """Say goodbye to the broker; calls that wait raise."""
        self._closed = True
        with self._opening:
            session, self._session = self._session, None
        if session is not None and self._pid == os.getpid():
            session.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f'<Client of {self._settings.broker_name}>'

    def _context(self) -> WorkerContext:
        """A chain of calls begins here."""
        return WorkerContext(Message(b''), 'client', self._settings, self._publish, self._begin, 'client')

    def _publish(self, publication: Publication) -> None:
        limit_s = self._settings.confirm_timeout_s if publication.timeout_s is None else publication.timeout_s
        deadline = time.monotonic() + limit_s
        tries = 2  # a message whose connection was lost before its confirm goes out once more
        while tries:
            tries -= 1
            session = self._ready(deadline)
            session.declare(self._exchanges)
            flight = session.send(publication)
            try:
                flight.result(max(0.0, deadline - time.monotonic()))
                return
            except FutureTimeoutError:
                raise UnconfirmedError(f'no confirm within {limit_s:g} s; it may have arrived') from None
            except LostError as error:
                if not tries and isinstance(error.why, ChannelError):
                    raise RefusedError(f'the broker refused it: {error.why}') from error
                if not tries:
                    raise UnconfirmedError(f'{error}; it may have arrived') from error

    def _begin(self, call: Call) -> _Pending:
        correlation_id = str(uuid.uuid4())
        deadline = time.monotonic() + call.timeout_s
        session = self._ready(deadline)
        publication = call.publication._replace(
            properties={
                **call.publication.properties,
                'reply_to': session.key,
                'correlation_id': correlation_id,
                'message_id': correlation_id,
                'timestamp': int(time.time()),
            }
        )
        reply: Future[Reply] = Future()
        session.send(publication, reply)
        return _Pending(session, publication, reply, call.timeout_s, deadline)

    def _ready(self, deadline: float) -> Session:
        """Return a session that is open, a new one if need be.

        Raises:
            UnavailableError: The broker is not there in time.
            BrokerError: It refuses us.
        """
        with self._opening:
            if self._pid != os.getpid():
                if self._session is not None:
                    self._session.abandon()
                self._session, self._pid = None, os.getpid()
            while self._session is None or self._session.error is not None:
                if self._closed:
                    raise StoppingError('the client is closed')
                self._session = self._opened(deadline)
            return self._session

    def _opened(self, deadline: float) -> Session | None:
        left_s = deadline - time.monotonic()
        for uri in self._settings.amqp_uri.split(';'):
            session = Session(self._settings, uri, str(uuid.uuid4()))
            try:
                session.open(max(0.05, min(self._settings.connect_timeout_s, left_s)))
                return session
            except AMQPError as error:
                raise BrokerError(f'the broker refuses us: {error}') from error
            except OSError as error:
                failure = error
        if deadline - time.monotonic() <= RETRY_S:
            raise UnavailableError(f'the broker was not there in time: {failure}') from failure
        time.sleep(RETRY_S)
        return None


class _Pending:
    """Waits for the reply to one call; see the contract of dependencies."""

    def __init__(
        self,
        session: Session,
        publication: Publication,
        reply: Future[Reply],
        timeout_s: float,
        deadline: float,
    ) -> None:
        self._session = session
        self._publication = publication
        self._reply = reply
        self._timeout_s = timeout_s
        self._deadline = deadline

    def wait(self, timeout_s: float | None = None) -> Reply:
        """Return the reply."""
        left_s = max(0.0, self._deadline - time.monotonic())
        over = timeout_s is None or timeout_s >= left_s
        try:
            return self._reply.result(left_s if over or timeout_s is None else timeout_s)
        except FutureTimeoutError:
            limit_s = self._timeout_s if over or timeout_s is None else timeout_s
            if over:
                self._session.forget(self._publication.properties['correlation_id'])
            text = f'{self._publication.routing_key}: no reply within {limit_s:g} s'
            raise CallTimeoutError(text) from None
