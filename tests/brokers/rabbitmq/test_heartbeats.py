"""Heartbeats: that they go on while a target blocks the hub, plain and in TLS, and that they have an end."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from greenmicro.brokers.rabbitmq.frames import HEARTBEAT_FRAME
from greenmicro.brokers.rabbitmq.heartbeats import HEARTBEATS, Heartbeats, Pulse
from tests.brokers.sides import Inbox, Side, event, to_queue
from tests.support.certificates import Authority
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.rabbitmq import Node

#: The broker gives up a connection with heartbeats of 1 s after 2 s at most.
BLOCKED_S = 3.5

TLS_CONFIG = """
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {authority}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
"""


class Out:
    """Stands for an outbox: notes what is written, and when something was written last."""

    def __init__(self) -> None:
        self.last_sent = 100.0
        self.written: list[bytes] = []

    def write_now(self, data: bytes) -> None:
        self.written.append(data)


def pulse_of(out: Out, interval_s: float = 4, stall_limit_s: float = 10) -> Pulse:
    made = Pulse(out, interval_s, stall_limit_s)  # type: ignore[arg-type]
    made.hub_ran_at = 100.0
    return made


@pytest.mark.parametrize(
    ('now', 'beats'),
    [(101.9, False), (102.0, True), (110.0, True), (110.1, False)],
    ids=['sent lately', 'half an interval', 'at the limit', 'beyond it'],
)
def test_a_pulse_beats_when_it_is_due(now: float, beats: bool) -> None:
    """Half an interval after whatever was sent last, until the hub is blocked for too long."""
    out = Out()
    pulse_of(out).beat(now)
    assert out.written == [HEARTBEAT_FRAME] * beats


def test_it_beats_for_an_interval_at_least() -> None:
    """However small the limit: a hub that is not blocked says so only four times an interval."""
    out = Out()
    pulse = pulse_of(out, stall_limit_s=0.1)
    pulse.beat(104.0)
    assert out.written
    out.written.clear()
    pulse.beat(104.1)
    assert not out.written


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        gevent.sleep(0.01)


def test_the_thread_ends_with_the_last_pulse_and_starts_with_the_next() -> None:
    """So a process that has no connection any more has no thread of ours."""
    heartbeats = Heartbeats()
    for _ in range(2):
        out = Out()
        pulse = pulse_of(out, stall_limit_s=1e9)
        heartbeats.add(pulse)
        wait_until(lambda out=out: out.written)  # type: ignore[misc]
        heartbeats.remove(pulse)
        wait_until(lambda: not heartbeats._running)


@pytest.fixture(scope='module')
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp('tls'))


@pytest.fixture(scope='module')
def tls_uri(authority: Authority) -> Iterator[str]:
    """The address of a broker of our own that speaks TLS, with clients whose certificate it can verify."""
    port = free_port()
    certificate, key = authority.issue('localhost')
    files: dict[str, Path] = {'authority': authority.certificate, 'certificate': certificate, 'key': key}
    with Node(TLS_CONFIG.format(port=port, **files)):
        yield f'amqps://guest:guest@localhost:{port}/'


@pytest.fixture
def tls_options(authority: Authority) -> dict[str, str]:
    """What a client needs for it."""
    certificate, key = authority.issue('shop')
    return {'ca': str(authority.certificate), 'certificate': str(certificate), 'key': str(key)}


def burn(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@pytest.fixture
def consume() -> Iterator[Callable[..., Inbox]]:
    """Starts a service with heartbeats of a second."""
    sides: list[Side] = []

    def start(uri: str, **config: Any) -> Inbox:
        side = Side(uri, HEARTBEAT_S=1, **config)
        sides.append(side)
        side.subscribe('other', None)
        inbox = side.subscribe('q')
        side.start_ready()
        return inbox

    yield start
    for side in sides:
        side.close()


def test_a_blocked_hub_keeps_its_connections(
    consume: Callable[..., Inbox],
    amqp_uri: str,
    tls_uri: str,
    tls_options: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """All, plain and in TLS, and what it works on; what was in flight is confirmed, though late."""
    inboxes = [
        consume(amqp_uri, CONFIRM_TIMEOUT_S=1),
        consume(tls_uri, CONFIRM_TIMEOUT_S=1, AMQP_SSL=tls_options),
    ]
    for inbox in inboxes:
        inbox.side.broker.publish(event(b'1'))
    first = [inbox.next() for inbox in inboxes]
    in_flight = [gevent.spawn(inbox.side.broker.publish, to_queue('other')) for inbox in inboxes]
    gevent.sleep(0)
    burn(BLOCKED_S)
    gevent.joinall(in_flight, raise_error=True)
    for inbox, message in zip(inboxes, first, strict=True):
        inbox.ack(message)
        inbox.side.broker.publish(event(b'2'))
        second = inbox.next()
        inbox.ack(second)
        assert (second.body, second.redelivered) == (b'2', False)
    gevent.sleep(0.5)  # as long as the broker's next look at its connections may take
    assert not caplog.messages


def test_a_hub_that_is_blocked_beyond_the_limit_loses_them(
    consume: Callable[..., Inbox], amqp_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker may give what it holds to others then; it comes back by itself."""
    inbox = consume(amqp_uri, HUB_STALL_LIMIT_S=1)
    inbox.side.broker.publish(event(b'1'))
    inbox.next()
    burn(BLOCKED_S + 1)
    wait_until(lambda: len([line for line in caplog.messages if 'lost' in line]) == 2)
    assert inbox.side.broker.wait_ready(PATIENCE_S)


def test_no_pulse_stays_behind(consume: Callable[..., Inbox], amqp_uri: str) -> None:
    """A connection that is closed is no longer kept alive."""
    before = len(HEARTBEATS._pulses)
    inbox = consume(amqp_uri)
    assert len(HEARTBEATS._pulses) == before + 2
    inbox.side.close()
    assert len(HEARTBEATS._pulses) == before
