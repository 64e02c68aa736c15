"""Service: the running parts of a service, wired together, started and stopped in the right order."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import gevent
from gevent.event import AsyncResult, Event
from gevent.pool import Group

from greenmicro.amqp.topology import Subscription, event_exchange, passing_queue
from greenmicro.brokers import broker_class
from greenmicro.clock import tick_for_ever
from greenmicro.dependencies import Dependency, no_calls
from greenmicro.entrypoints import Entrypoint
from greenmicro.errors import BrokerError, StopTimeoutError
from greenmicro.hosting import Shared
from greenmicro.messages import SUCCEEDED, Failure, Message, Settlement
from greenmicro.pools import pool_class
from greenmicro.pools.base import Pool
from greenmicro.rpc.caller import Caller
from greenmicro.settings import Settings
from greenmicro.watchdog import Watchdog

logger = logging.getLogger(__name__)

#: How long a broker gets, in seconds, to agree that it delivers no more.
CANCEL_TIMEOUT_S = 5.0
#: How long interrupted targets get, in seconds, to come to their end.
INTERRUPT_TIMEOUT_S = 0.4
#: How long the last settlements and answers get, in seconds: what is left of the stop's time, at least and
#: at most.
FLUSH_TIMEOUT_S = 0.4
GOODBYE_TIMEOUT_S = 5.0
#: How often a stop looks, in seconds, whether a second signal came: handlers only set an event.
POLL_S = 0.1
#: How long the stop may still take, in seconds, after a second signal.
CUT_SHORT_S = 0.8


class Service:
    """What a Runner runs: entrypoints, a pool of workers, and a broker.

    Args:
        entrypoints: In the order of the user's list.
        settings: The validated settings.
    """

    def __init__(self, entrypoints: Sequence[Entrypoint], settings: Settings) -> None:
        self.settings = settings
        self.entrypoints = entrypoints
        self.prefetch = settings.prefetch_for(len(entrypoints))
        self.broker = broker_class(settings.amqp_uri)(settings)
        begin_call = Caller(self.broker, settings).begin if _has_calls(entrypoints) else no_calls
        kind = pool_class(settings.worker_mode.place)
        self.pool: Pool = kind(settings, entrypoints, self.broker.publish, begin_call)
        self.ended: AsyncResult[None] = AsyncResult()
        self._watchdog = Watchdog(settings.hub_stall_warn_s)
        self._spawned = Group()
        self._started = Event()
        self._cut_short = Event()
        self._set_up: list[Entrypoint] = []
        self._fed_by: list[Entrypoint] = []
        self._shared: dict[Any, Any] = {}
        self._health: Any = None

    def submit(self, entrypoint: Entrypoint, message: Message) -> None:
        """Hand a message to the workers; returns at once."""
        self.pool.submit(entrypoint, message)

    def shared(self, kind: Callable[[Service], Shared]) -> Shared:
        """Return the one thing of a kind that entrypoints share, made when it is first asked for."""
        if kind not in self._shared:
            self._shared[kind] = kind(self)
        shared: Shared = self._shared[kind]
        return shared

    def compete(self, queue: str) -> Callable[[], bool]:
        """Compete for a queue, which is a lock; returns what says whether it is ours at this moment."""

        def drop(message: Message, failure: Failure | None = None) -> None:
            if lock.begin(message):  # whoever has put it there
                lock.settle(message, Settlement.ACK, SUCCEEDED)

        lock = self.broker.subscribe(Subscription(passing_queue(queue), None, '', 1, sole=True), drop, drop)
        return lambda: lock.active

    def spawn(self, function: Callable[..., None], *args: Any) -> None:
        """Run a function in a greenlet until the service stops; a crash in it stops the service."""
        greenlet = self._spawned.spawn(function, *args)
        greenlet.link_exception(lambda dead: self.fail(dead.exception or RuntimeError(repr(dead))))

    def every(self, interval_s: float, tick: Callable[[], None], eager: bool) -> None:
        """Call a function at each multiple of an interval, from now until the service stops."""
        self.spawn(tick_for_ever, interval_s, tick, eager)

    def fail(self, error: BaseException) -> None:
        """Stop the service because of an error, which its runner raises."""
        if not self.ended.ready():
            self.ended.set_exception(error)

    def end(self) -> None:
        """Have the service stop, as by SIGTERM; returns at once."""
        if not self.ended.ready():
            self.ended.set(None)

    def start(self, announce: Callable[[Service], None]) -> None:
        """Start everything: workers first, then what feeds them.

        Args:
            announce: Called once everything is known to fit together, before the broker is asked.

        Raises:
            ConfigError: A target, dependency or route does not work where its workers run, or
                HEALTH_ADDRESS cannot be listened on.
        """
        self._serve_health()
        # Before entrypoints know of us: in process modes routes cross to the children as they were declared.
        self.pool.start()
        self._watchdog.start()  # not before: what targets import may take its time
        for entrypoint in self.entrypoints:
            self._set_up.append(entrypoint)
            entrypoint.setup(self)
        announce(self)
        self.broker.declare(event_exchange(self.settings.service_name, self.settings))
        for dependency in _dependencies(self.entrypoints):
            for exchange in dependency.publishes_on(self.settings):
                self.broker.declare(exchange)
        self.broker.start(self.fail)
        for entrypoint in self.entrypoints:
            self._fed_by.append(entrypoint)
            entrypoint.start()
        self._started.set()
        if self.settings.fail_fast:
            self.spawn(self._fail_without_broker)

    def wait_ready(self) -> bool:
        """Wait until every listener consumes; return False if the service ends before that."""
        ready = self._spawned.spawn(lambda: self._started.wait() and self.broker.wait_ready())
        objects: list[Any] = [ready, self.ended]
        gevent.wait(objects, count=1)
        return not self.ended.ready()

    def hindrances(self) -> list[str]:
        """Say, in a sentence each, what keeps the service from working at this moment."""
        if self.ended.ready():
            return ['stopping']
        return list(self.broker.hindrances()) if self._started.is_set() else ['starting']

    def stop(self) -> None:
        """Stop everything, in this order: what feeds the workers, the workers, the broker.

        The broker goes last, since targets publish to their end and every outcome is still settled.

        Raises:
            StopTimeoutError: Work was still going on at the deadline, and was given back.
        """
        deadline = time.monotonic() + self.settings.stop_timeout_s
        guard = gevent.spawn(self._end_at_once_when_cut_short)
        self._stop_feeding()
        if not self.settings.worker_mode.drains:
            self.pool.give_back()
        in_time = self._wait_idle(deadline)
        if not in_time:
            self.pool.interrupt(INTERRUPT_TIMEOUT_S)
            self.pool.give_back()
        self.broker.close(_time_left(deadline))
        self._release_entrypoints(deadline)
        self.pool.close()
        if self._health is not None:
            self._health.stop()
        self._watchdog.stop()
        guard.kill()
        if not in_time:
            limit = self.settings.stop_timeout_s
            when = 'at the second signal' if self._cut_short.is_set() else f'after {limit:g} s'
            raise StopTimeoutError(f'targets still ran {when}; their messages were given back')

    def cut_short(self) -> None:
        """Let a stop that is going on wait for nothing more; from a signal handler."""
        self._cut_short.set()

    def _serve_health(self) -> None:
        """Answer about health from the first moment on, also while the broker is waited for."""
        if self.settings.health_address is not None:
            from greenmicro.health import Health  # only where it is asked for: 4 ms

            self._health = Health(self.settings.health_address, self.hindrances, self._watchdog.last_stall)
            self._health.start()

    def _fail_without_broker(self) -> None:
        hosts = self.settings.amqp_uri.count(';') + 1
        limit_s = self.settings.connect_timeout_s * hosts
        if not self.broker.wait_ready(limit_s):
            self.fail(
                BrokerError(
                    f'the broker was not there within {limit_s:g} s, and FAIL_FAST is set: '
                    + '; '.join(self.broker.hindrances())
                )
            )

    def _stop_feeding(self) -> None:
        for entrypoint in self._fed_by:
            try:
                entrypoint.stop()
            except Exception:
                # The user's code: whatever is wrong with it, the rest has to be stopped in order.
                logger.exception('%s: stop() failed', entrypoint.name)
        self._spawned.kill(timeout=INTERRUPT_TIMEOUT_S)
        self.broker.stop(min(CANCEL_TIMEOUT_S, self.settings.stop_timeout_s))

    def _release_entrypoints(self, deadline: float) -> None:
        """Once all is settled: an entrypoint that answers by itself still has to get its answers out."""
        for entrypoint in self._set_up:
            try:
                entrypoint.say_goodbye(_time_left(deadline))
            except Exception:
                logger.exception('%s: say_goodbye() failed', entrypoint.name)

    def _wait_idle(self, deadline: float) -> bool:
        while not self.pool.wait_idle(min(POLL_S, max(0.0, deadline - time.monotonic()))):
            if self._cut_short.is_set() or time.monotonic() >= deadline:
                return False
        return True

    def _end_at_once_when_cut_short(self) -> None:
        """After a second signal end the process, whatever still waits, as for a broker that is stuck.

        The broker gives the messages to others, and children die with their parent.
        """
        self._cut_short.wait()
        gevent.sleep(CUT_SHORT_S)
        logger.error('ending at once')
        logging.shutdown()
        os._exit(1)


def _time_left(deadline: float) -> float:
    """Say how long the last settlements and answers may take, in seconds."""
    return max(FLUSH_TIMEOUT_S, min(GOODBYE_TIMEOUT_S, deadline - time.monotonic()))


def _has_calls(entrypoints: Iterable[Entrypoint]) -> bool:
    """Say whether any target calls other services, so that there have to be replies."""
    return any(dependency.has_calls for dependency in _dependencies(entrypoints))


def _dependencies(entrypoints: Iterable[Entrypoint]) -> Iterator[Dependency]:
    return (dependency for one in entrypoints for dependency in one.route.dependencies.values())
