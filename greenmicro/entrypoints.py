"""Entrypoint and TimeEntrypoint: what triggers a route. They know no broker."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from greenmicro import codecs, fates
from greenmicro.delays import delay_fault
from greenmicro.hosting import Service
from greenmicro.messages import EMPTY, Failure, Message, Outcome, Reason, Settlement
from greenmicro.retry import Retry
from greenmicro.routes import Route

if TYPE_CHECKING:
    from greenmicro.settings import Settings

logger = logging.getLogger(__name__)


#: The intervals that make sense: below a millisecond there is no time to run anything, over a year a
#: service would never tick.
SHORTEST_S = 0.001
LONGEST_S = 366 * 86_400


class Entrypoint:
    """A trigger: it receives messages, has its route run, and is told what became of each.

    Subclass it for a trigger of your own. Its life: the constructor only assigns; `setup` is told of
    the service; `start` begins to receive; `stop` takes no more; `settle` is still called for what was
    received. All of them run on the service's hub and must not block it.

    Args:
        route: What each message goes through.

    Example:
        >>> class FolderEntrypoint(Entrypoint):
        ...     def __init__(self, path, route):
        ...         super().__init__(route)
        ...         self.path = path
        ...     def start(self):
        ...         self.service.spawn(self.watch)
        ...     def watch(self):
        ...         while True:
        ...             for name in os.listdir(self.path):
        ...                 os.rename(f'{self.path}/{name}', f'{self.path}/../{name}')
        ...                 self.receive(self.message({'file': name}))
        ...             time.sleep(1)
    """

    #: Whether somebody waits for the target's result. `Outcome.result` is then what `encode` made of it.
    replies = False
    #: Whether `settle` keeps a failed message; it is only told in the log.
    dead_letters = False
    #: Whether `settle` has a message come again on `Settlement.RETRY`, after `outcome.failure.delay_s`
    #: seconds; otherwise what fails is settled for good at once.
    retries = False

    def __init__(self, route: Route | None = None) -> None:
        self.route: Route = route  # type: ignore[assignment]  # a missing one is a fault, told at start

    def faults(self, settings: Settings | None) -> Iterator[str]:
        """Yield a sentence for everything about this entrypoint that cannot work.

        Args:
            settings: The service's settings; None when they have faults of their own.
        """
        route = getattr(self, 'route', None)
        if isinstance(route, Route):
            yield from route.faults()
            if isinstance(route.retry, Retry) and route.retry.max_attempts != 1 and not self.retries:
                yield f'retry: a {type(self).__name__} cannot have a message come again'
        else:
            yield f'wanted a route (route=Route(...)), found {route!r}'

    def claim(self, settings: Settings) -> str | None:
        """Say what no other entrypoint of the service may use too, as a queue; None for nothing."""
        return None

    @property
    def name(self) -> str:
        """Its name in log lines about its messages: its class and its target."""
        target = getattr(getattr(self, 'route', None), 'target', 'no target')
        return f'{type(self).__name__} -> {target}'

    def describe(self) -> str:
        """Say in one line, for the start log, what it listens to."""
        return self.name

    def setup(self, service: Service) -> None:
        """Be told of the service, before anything starts; subscribe here."""
        self.service = service

    def start(self) -> None:
        """Begin to receive."""

    def stop(self) -> None:
        """Take no more; what was received is still worked off and settled."""

    def say_goodbye(self, timeout_s: float) -> None:
        """Release what `setup` and `start` opened, all being settled; within so many seconds."""

    def message(
        self, payload: Any, message_id: str | None = None, headers: Mapping[str, Any] = EMPTY
    ) -> Message:
        """Build a message of a payload, for triggers that no broker feeds.

        Args:
            payload: Anything that JSON, with kombu's type tags, can carry.
            message_id: What it is known by in logs; a new uuid if it has no name of its own.
            headers: What dependencies and translators may want to know of it.

        Raises:
            PayloadError: The payload cannot be encoded.
        """
        body, content_type, content_encoding = codecs.encode(payload)
        properties = {
            'content_type': content_type,
            'content_encoding': content_encoding,
            'message_id': message_id or str(uuid.uuid4()),
        }
        return Message(body, properties, headers)

    def receive(self, message: Message) -> None:
        """Have the route run for a message; returns at once."""
        self.service.submit(self, message)

    def begin(self, message: Message) -> bool:
        """Say whether a message is still ours to run; asked when a worker takes it up."""
        return True

    def holds(self, message: Message) -> bool:
        """Say whether a message that waits for a worker is still ours; asked at any time, changes nothing."""
        return True

    def arguments(self, payload: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Map a payload to the target's arguments; runs in the worker, dependencies come on top."""
        return (payload,), {}

    def encode(self, result: Any) -> Any:
        """Make of the target's result what `Outcome.result` holds: body, content type, content encoding.

        Runs in the worker, where `replies` is set; plain values, as they may have to leave a child.
        """
        return codecs.encode(result)

    def expects(self, failure: Failure) -> bool:
        """Say whether a failure is the sender's own, which costs one line of the log and no traceback."""
        return False

    def finished(self, message: Message, outcome: Outcome) -> None:
        """Take an outcome home: the route decides, `settle` carries it out."""
        try:
            settlement, outcome = self._decide(message, outcome)
        except Exception as error:
            # A Route or Retry of the user's own; without a settlement the message would hold its place in
            # the prefetch for ever.
            logger.exception('%s: what becomes of %r could not be decided', self.name, message)
            settlement, outcome = Settlement.DEAD_LETTER, Outcome.failed(Failure.of(Reason.TARGET, error))
        try:
            self.settle(message, settlement, outcome)
        except Exception:
            # The user's own code; what runs beside and after this message must not feel it.
            logger.exception('%s: %r could not be settled', self.name, message)

    def lose(self, message: Message, failure: Failure) -> None:
        """Take a message home that is to be run no more, since it took too many processes with it."""
        outcome = Outcome.failed(failure)
        settlement = self.route.settlement(message, outcome, self.service.settings, retries=False)
        fates.log_failure(self.name, message, failure, self.fate(message, settlement))
        self.settle(message, settlement, outcome)

    def _decide(self, message: Message, outcome: Outcome) -> tuple[Settlement, Outcome]:
        settings = self.service.settings
        settlement = self.route.settlement(message, outcome, settings, self.retries)
        failure = outcome.failure
        if failure is not None and settlement is Settlement.RETRY:
            delay_s = self.route.delay_s(message, failure, settings)
            if fault := delay_fault('the delay of a retry', delay_s):
                raise ValueError(fault)
            failure = failure._replace(delay_s=delay_s)
            outcome = Outcome.failed(failure)
            fates.log_retry(self.name, message, failure, delay_s)
        elif failure is not None:
            tell = fates.log_refusal if self.expects(failure) else fates.log_failure
            tell(self.name, message, failure, self.fate(message, settlement))
        return settlement, outcome

    def fate(self, message: Message, settlement: Settlement) -> str:
        """Say in the log what becomes of a message that failed for good."""
        if settlement is Settlement.ACK:
            return 'dropped'
        return settlement.value if self.dead_letters else 'not kept'

    def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
        """Carry a settlement out; called exactly once for each message. Replies go out here."""


class TimeEntrypoint(Entrypoint):
    """Runs its route at each multiple of an interval, by the monotonic clock, without drift.

    The target gets `{'tick': n, 'skipped': k}`: the number of this tick, counted from 1, and how many
    ticks were skipped so far since the run before was still going on.

    With `once='cluster'` one of all replicas ticks: the one that has the queue `once-{service}.{target}`,
    which the broker gives to one connection at a time. When that one ends, or is cut off from the broker,
    another takes over, as a rule within a second or two (RECONNECT_MAX_S); ticks in between are left out.
    One that is cut off goes on until it notices, two heartbeats at most, so a tick may come twice then.

    Args:
        interval_s: Seconds from tick to tick.
        route: What each tick goes through.
        eager: Whether the first tick comes at once instead of after one interval.
        once: `cluster`, or None where each replica ticks.

    Example:
        >>> TimeEntrypoint(60.0, route=Route('tasks.clean_up'))
    """

    def __init__(
        self, interval_s: float, route: Route | None = None, eager: bool = False, once: str | None = None
    ) -> None:
        super().__init__(route)
        self.interval_s = interval_s
        self.eager = eager
        self.once = once
        self.ticks = 0
        self.skipped = 0
        self._skipped_before = 0  # when it last ran
        self._running = False
        self._is_ours: Callable[[], bool] | None = None

    def faults(self, settings: Settings | None) -> Iterator[str]:
        """Yield a sentence for everything about this entrypoint that cannot work."""
        yield from super().faults(settings)
        if self.once not in (None, 'cluster'):
            yield f"once: wanted 'cluster' or None, found {self.once!r}"
        yield from self._time_faults()

    def _time_faults(self) -> Iterator[str]:
        """Yield a sentence if its times make no sense."""
        interval = self.interval_s
        number = isinstance(interval, (int, float)) and not isinstance(interval, bool)
        if not (number and SHORTEST_S <= interval <= LONGEST_S):
            yield f'interval_s: wanted {SHORTEST_S} to {LONGEST_S} seconds, found {interval!r}'

    def claim(self, settings: Settings) -> str | None:
        """Say which queue it competes for, if it does."""
        return None if self.once is None else f'queue {self._queue_name(settings)}'

    def describe(self) -> str:
        """Say in one line, for the start log, when it ticks."""
        where = '' if self.once is None else ', once in the cluster'
        return f'{self._when()}{where} -> {self.route.target}'

    def _when(self) -> str:
        """Say when it ticks."""
        return f'every {self.interval_s:g} s'

    def setup(self, service: Service) -> None:
        """Be told of the service, and compete with the other replicas, where one of them ticks."""
        super().setup(service)
        if self.once is not None:
            self._is_ours = service.compete(self._queue_name(service.settings))

    def start(self) -> None:
        """Begin to tick."""
        self.service.every(self.interval_s, self.tick, self.eager)

    def tick(self, **more: Any) -> None:
        """Run the route, unless it is still running, or another replica does.

        Args:
            **more: What the payload holds besides.
        """
        if self._is_ours is not None and not self._is_ours():
            return
        self.ticks += 1
        if self._running:
            # One line for a row of them, since a short interval would flood the log.
            if self.skipped == self._skipped_before:
                logger.warning('%s: tick %d skipped, the last one still runs', self.name, self.ticks)
            self.skipped += 1
            return
        if self.skipped > self._skipped_before:
            row = self.skipped - self._skipped_before
            logger.warning('%s: running again, %d skipped, %d in all', self.name, row, self.skipped)
            self._skipped_before = self.skipped
        self._running = True
        self.receive(self.message({'tick': self.ticks, 'skipped': self.skipped, **more}))

    def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
        """Let the next tick run."""
        self._running = False

    def _queue_name(self, settings: Settings) -> str:
        return f'once-{settings.service_name}.{self.route.target.rpartition(".")[2]}'
