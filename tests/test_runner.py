"""Runner: in the background for tests, in the foreground for programs; how it ends and what it says."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from greenmicro import Entrypoint, EventListener, Producer, Route, TimeEntrypoint
from greenmicro.errors import BrokerError, ConfigError
from greenmicro.messages import Message, Outcome, Settlement
from greenmicro.runner import Runner
from tests.support.patience import PATIENCE_S

CONFIG = {'AMQP_URI': 'memory://', 'SERVICE_NAME': 'service'}
TASKS = """
import gevent
seen = []
def note(payload, **dependencies):
    seen.append(payload)
def relay(payload, producer):
    producer('relayed', payload)
"""


@pytest.fixture(autouse=True)
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The targets' module, anew for each test."""
    (tmp_path / 'runner_tasks.py').write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop('runner_tasks', None)


def wait_until(true: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    """Give way to the hub until something is so."""
    with gevent.Timeout(timeout_s):
        while not true():
            gevent.sleep(0.001)


def test_a_limit_that_the_broker_may_not_wait_for_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """It names the limit, the broker's default and its setting; where no broker waits nothing is said."""

    def listener(timeout_s: float | None) -> EventListener:
        return EventListener('s', f'{timeout_s}', Route('runner_tasks.note', timeout_s=timeout_s))

    clock = TimeEntrypoint(60.0, Route('runner_tasks.note', timeout_s=4_000))
    entrypoints = [listener(None), listener(1_799.0), listener(1_800.0), clock]
    for uri in ('memory://', 'amqp://guest:guest@127.0.0.1:1/'):
        runner = Runner(entrypoints, CONFIG | {'AMQP_URI': uri})
        service = runner._launch()
        runner.stop()
        runner._finish(service)
    (warning,) = (record.message for record in caplog.records if 'timeout_s' in record.message)
    assert '1800 s is not below the 1800 s' in warning
    assert 'consumer_timeout' in warning


class Once(Entrypoint):
    """Submits one payload at its start, and ends the service when it is settled."""

    def __init__(self, payload: object, route: Route, ends: bool = True) -> None:
        super().__init__(route)
        self.payload = payload
        self.ends = ends
        self.settled: list[Settlement] = []

    def start(self) -> None:
        self.receive(self.message(self.payload))

    def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
        self.settled.append(settlement)
        if self.ends:
            self.service.end()


def test_with_runs_it_in_the_background() -> None:
    """Inside the block every listener consumes; an event that a target publishes is heard."""
    first = Once({'id': 1}, Route('runner_tasks.relay', {'producer': Producer()}), ends=False)
    second = EventListener('service', 'relayed', Route('runner_tasks.note'))
    with Runner([first, second], CONFIG):
        seen = sys.modules['runner_tasks'].seen
        wait_until(lambda: seen)
    assert seen == [{'id': 1}]
    assert first.settled == [Settlement.ACK]


def test_start_returns_when_the_service_is_ended_from_within() -> None:
    """An entrypoint may end its service; what was received is settled, and the handlers are as before."""
    before = signal.getsignal(signal.SIGTERM)
    only = Once(1, Route('runner_tasks.note'))
    Runner([only], CONFIG).start()
    assert only.settled == [Settlement.ACK]
    assert signal.getsignal(signal.SIGTERM) is before


def test_collections_leave_out_what_was_there_before_the_first_message() -> None:
    """start() has the process for itself; a test that runs a service in the background keeps its garbage."""
    frozen: list[int] = []

    class Counting(Once):
        def settle(self, message: Message, settlement: Settlement, outcome: Outcome) -> None:
            frozen.append(gc.get_freeze_count())
            super().settle(message, settlement, outcome)

    Runner([Counting(1, Route('runner_tasks.note'))], CONFIG).start()
    frozen.append(gc.get_freeze_count())
    only = Counting(1, Route('runner_tasks.note'), ends=False)
    with Runner([only], CONFIG):
        wait_until(lambda: only.settled)
    assert frozen[0] > 10_000
    assert frozen[1:] == [0, 0]


def test_a_signal_stops_it() -> None:
    """SIGTERM ends start(), without an error."""
    ticks = TimeEntrypoint(0.01, Route('runner_tasks.note'), eager=True)
    killer = gevent.spawn(lambda: wait_until(lambda: ticks.ticks > 1) or os.kill(os.getpid(), signal.SIGTERM))
    Runner([ticks], CONFIG).start()
    killer.get()


def test_a_crash_in_a_greenlet_of_an_entrypoint_ends_the_service() -> None:
    """start() raises what it crashed with, after an orderly stop."""

    class Crashing(Once):
        def start(self) -> None:
            super().start()
            self.service.spawn(self.crash)

        def crash(self) -> None:
            raise OSError('the folder is gone')

    crashing = Crashing(1, Route('runner_tasks.note'), ends=False)
    with pytest.raises(OSError, match='the folder is gone'):
        Runner([crashing], CONFIG).start()
    assert len(crashing.settled) == 1


def test_a_start_that_fails_is_undone() -> None:
    """An entrypoint that cannot start has the others stopped, and its error raised."""

    class Failing(Entrypoint):
        def start(self) -> None:
            raise OSError('no such device')

    stopped: list[str] = []

    class Watched(Once):
        def stop(self) -> None:
            stopped.append('watched')

    with pytest.raises(OSError, match='no such device'):
        Runner(
            [Watched(1, Route('runner_tasks.note'), ends=False), Failing(Route('runner_tasks.note'))], CONFIG
        ).start()
    assert stopped == ['watched']


def test_a_stop_that_fails_does_not_keep_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    """An entrypoint whose stop() raises is logged; everything else is stopped in order."""

    class Stubborn(Once):
        def stop(self) -> None:
            raise OSError('stuck')

    Runner([Stubborn(1, Route('runner_tasks.note'))], CONFIG).start()
    assert 'stop() failed' in caplog.text


def test_with_raises_what_keeps_it_from_starting() -> None:
    """A target that does not resolve is told on entering the block."""
    with (
        pytest.raises(ConfigError, match=r'runner_tasks\.nothing'),
        Runner([Once(1, Route('runner_tasks.nothing'))], CONFIG),
    ):
        raise AssertionError('not reached')


def test_with_raises_the_refusal_of_the_broker(amqp_uri: str) -> None:
    """So is a broker that refuses the password."""
    uri = amqp_uri.replace('guest:guest', 'guest:wrong')
    with (
        pytest.raises(BrokerError),
        Runner([Once(1, Route('runner_tasks.note'), ends=False)], {**CONFIG, 'AMQP_URI': uri}),
    ):
        raise AssertionError('not reached')


def test_what_it_says_at_start_and_stop(caplog: pytest.LogCaptureFixture) -> None:
    """One block at the start with all that one wants to know, then one line for each change of state."""
    caplog.set_level(logging.INFO)
    listener = EventListener('orders', 'placed', Route('runner_tasks.note'))
    with Runner([Once(1, Route('runner_tasks.note'), ends=False), listener], CONFIG):
        wait_until(lambda: 'ready after' in caplog.text)
    block, *rest = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    for line in (
        ': service, pid ',
        'broker   memory://',
        'workers  10, mode thread',
        'on       Once -> runner_tasks.note',
        'on       orders.events / placed -> runner_tasks.note (queue evt-orders-placed--service.note)',
    ):
        assert line in block
    assert [line.partition(' ')[0] for line in rest] == ['ready', 'stopping', 'stopped']


@pytest.mark.parametrize(
    ('entrypoints', 'fault'),
    [
        ([], 'wanted at least one, found an empty list'),
        (None, 'wanted a list of entrypoints, found None'),
        ('tasks.run', "wanted a list of entrypoints, found 'tasks.run'"),
        ([3], 'entrypoint 1: wanted an instance of Entrypoint, found 3'),
    ],
)
def test_what_is_no_list_of_entrypoints(entrypoints: object, fault: str) -> None:
    """It is refused with what was wanted and what was found."""
    with pytest.raises(ConfigError) as caught:
        Runner(entrypoints, CONFIG).start()  # type: ignore[arg-type]
    assert fault in str(caught.value)


def test_one_entrypoint_listed_twice() -> None:
    """It would receive everything twice."""
    only = Once(1, Route('runner_tasks.note'))
    with pytest.raises(ConfigError, match='stands in the list twice'):
        Runner([only, only], CONFIG).start()
