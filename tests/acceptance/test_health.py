"""Health as a prober sees it: a service that waits, works, is hindered, stops; and one that fails fast."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Write
from tests.support.erlang import binary
from tests.support.patience import PATIENCE_S
from tests.support.ports import free_port
from tests.support.rabbitmq import Node

POLL_S = 0.02

QUEUE = 'evt-source-event--service.work'
#: Begins a tick, which publishes once the file is there.
TICK = """
import os, time
def work(payload, **dependencies): pass
def tick(payload, producer=None):
    print('ticking', flush=True)
    while not os.path.exists({go!r}):
        time.sleep(0.01)
    if producer:
        producer('ticked', payload)
"""
IMPORTS = 'from greenmicro import TimeEntrypoint'
BOTH = """[
    EventListener('source', 'event', route=Route('tasks.work')),
    TimeEntrypoint(0.1, Route('tasks.tick', dependencies={'producer': Producer()})),
]"""
ONLY_TICK = "[TimeEntrypoint(60.0, Route('tasks.tick'), eager=True)]"
#: Takes the right to declare, and the queue, so that it cannot come back.
TAKE_AWAY = """
V = {vhost},
rabbit_auth_backend_internal:set_permissions(<<"guest">>, V, <<"^$">>, <<".*">>, <<".*">>, <<"tests">>),
{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(V, queue, {queue})),
rabbit_amqqueue:delete(Q, false, false, <<"tests">>).
"""


class Prober:
    """Asks a service about its health."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f'127.0.0.1:{self.port}'

    def ask(self, path: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=PATIENCE_S)
        try:
            connection.request('GET', path)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def wait_for(self, expected: Callable[[int, str], bool]) -> None:
        """Return when /readyz answers as expected; all the while the service must live."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status, content = self.ask('/readyz')
            alive, told = self.ask('/livez')
            assert (alive, told['live']) == (200, True)  # it may tell of a stall, on a busy machine
            if expected(status, ' '.join(content['reasons'])):
                return
            assert time.monotonic() < deadline, content
            time.sleep(POLL_S)

    def wait_ready(self) -> None:
        self.wait_for(lambda status, _: status == 200)

    def wait_hindered(self, *words: str) -> None:
        self.wait_for(lambda status, reasons: status == 503 and all(word in reasons for word in words))


@pytest.fixture
def prober() -> Prober:
    """Asks the service of this test."""
    return Prober()


def test_a_broker_that_comes_and_goes(write: Write, prober: Prober, tmp_path: Path) -> None:
    """Not ready before it is there, under its memory alarm, and after it was killed; each with the reason."""
    go = tmp_path / 'go'
    go.touch()
    node = Node()
    program = write(
        node.uri(),
        tasks=TICK.format(go=str(go)),
        entrypoints=BOTH,
        imports=IMPORTS,
        HEALTH_ADDRESS=prober.address,
        CONFIRM_TIMEOUT_S=0.5,
    )
    with program:
        program.wait_for('no broker')
        prober.wait_hindered(f'publishing: no broker at 127.0.0.1:{node.port}', f'queue {QUEUE}: not con')
        with node:
            prober.wait_ready()
            node.eval('vm_memory_monitor:set_vm_memory_high_watermark({absolute, 1}).')
            prober.wait_hindered('publishing: the broker accepts no messages (a resource alarm)')
            node.eval('vm_memory_monitor:set_vm_memory_high_watermark(0.9).')
            prober.wait_ready()
            node.kill()
            prober.wait_hindered('publishing: ', f'queue {QUEUE}: not consuming (')


def test_a_queue_that_is_gone(
    write: Write, prober: Prober, rabbitmq: Node, vhost: str, amqp_uri: str
) -> None:
    """A listener that cannot consume any more makes the service not ready, and says why."""
    with write(amqp_uri, HEALTH_ADDRESS=prober.address) as program:
        program.wait_for('ready')
        prober.wait_ready()
        rabbitmq.eval(TAKE_AWAY.format(vhost=binary(vhost), queue=binary(QUEUE)))
        prober.wait_hindered(f'queue {QUEUE}: not consuming (', 'ACCESS_REFUSED')
        _, content = prober.ask('/readyz')
        assert len(content['reasons']) == 1
        assert program.stop() == 0


def test_while_it_stops(mode: str, write: Write, prober: Prober, tmp_path: Path) -> None:
    """In each mode: ready while it works, `stopping` until its last target is done, then nobody answers."""
    go = tmp_path / 'go'
    tasks = TICK.format(go=str(go))
    program = write(
        'memory://',
        mode,
        tasks=tasks,
        entrypoints=ONLY_TICK,
        imports=IMPORTS,
        HEALTH_ADDRESS=prober.address,
    )
    with program:
        program.wait_for('ticking')
        prober.wait_ready()
        program.signal(signal.SIGTERM)
        program.wait_for('stopping')
        assert prober.ask('/readyz') == (503, {'ready': False, 'reasons': ['stopping']})
        assert prober.ask('/livez')[0] == 200
        go.touch()
        assert program.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            prober.ask('/livez')


@pytest.mark.parametrize('place', ['thread', 'process'])
def test_an_address_in_use(place: str, write: Write) -> None:
    """The service does not start, names the setting, and leaves no process."""
    with socket.create_server(('127.0.0.1', 0)) as taken:
        address = f'127.0.0.1:{taken.getsockname()[1]}'
        with write('memory://', place, HEALTH_ADDRESS=address) as program:
            assert program.wait() == 1
            assert f'ConfigError: HEALTH_ADDRESS: cannot listen on {address}' in program.output
            assert not program.survivors()


@pytest.mark.parametrize('place', ['thread', 'process'])
@pytest.mark.parametrize('hosts', [1, 2])
def test_fail_fast(place: str, hosts: int, write: Write) -> None:
    """Without a broker it ends, after the time for each host, with an error that says what is not there."""
    uri = ';'.join(f'amqp://guest:guest@127.0.0.1:{number + 1}/' for number in range(hosts))
    with write(uri, place, FAIL_FAST=True, CONNECT_TIMEOUT_S=0.3) as program:
        assert program.wait() == 1
        told = f'BrokerError: the broker was not there within {0.3 * hosts:g} s, and FAIL_FAST is set: pub'
        assert told in program.output
        assert 'no broker at 127.0.0.1:' in program.output
        assert not program.survivors()


def test_fail_fast_with_a_broker(write: Write, amqp_uri: str) -> None:
    """With one, even if only the second host is one, the service runs."""
    uri = f'amqp://guest:guest@127.0.0.1:1/;{amqp_uri}'
    with write(uri, FAIL_FAST=True) as program:
        program.wait_for('ready after')
        assert program.stop() == 0
