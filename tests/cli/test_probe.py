"""`greenmicro health`: exit code and reason, and that it starts quickly."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from greenmicro.addresses import Address
from greenmicro.cli import main
from greenmicro.health import Health
from tests.support.ports import free_port

IMPORTED = """
import sys
from greenmicro.cli import main
main(['health', '--address', '127.0.0.1:1'])
heavy = {'gevent', 'kombu', 'amqp', 'click'} & sys.modules.keys()
sys.exit(repr(heavy) if heavy else 0)
"""


@pytest.fixture
def reasons() -> list[str]:
    """What keeps the service from being ready; the test changes it."""
    return []


@pytest.fixture
def address(reasons: list[str]) -> Iterator[str]:
    """Where a service answers about its health."""
    where = Address('127.0.0.1', free_port())
    served = Health(where, lambda: list(reasons))
    served.start()
    yield str(where)
    served.stop()


def test_ready(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is 0, and says so."""
    assert main(['health', '--address', address]) == 0
    assert capsys.readouterr().out == 'ready\n'


def test_not_ready(address: str, reasons: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It is 1, with all the reasons; alive it is all the same."""
    reasons += ['queue a: not consuming', 'publishing: blocked']
    assert main(['health', '--address', address]) == 1
    assert capsys.readouterr().out == 'not ready: queue a: not consuming; publishing: blocked\n'
    assert main(['health', '--address', address, '--live']) == 0
    assert capsys.readouterr().out == 'live\n'


def test_the_address_of_the_environment(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that the service listens by is the one that the probe asks by."""
    monkeypatch.setenv('GREENMICRO_HEALTH_ADDRESS', address.replace('127.0.0.1', '0.0.0.0'))
    assert main(['health']) == 0
    monkeypatch.setenv('GREENMICRO_HEALTH_ADDRESS', '127.0.0.1:1')
    assert main(['health']) == 1
    assert main(['health', '--address', address]) == 0


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        ([], 'where to ask? Give --address 127.0.0.1:8080, or set GREENMICRO_HEALTH_ADDRESS'),
        (['--address', 'here'], "--address: wanted '127.0.0.1:8080', ':8080'"),
        (['--address', '127.0.0.1:1'], 'no answer from 127.0.0.1:1 ([Errno 111] Connection refused); does'),
    ],
)
def test_no_answer(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is 1, and says what to do next."""
    monkeypatch.delenv('GREENMICRO_HEALTH_ADDRESS', raising=False)
    assert main(['health', *words]) == 1
    assert said in capsys.readouterr().out


class Stranger:
    """Somebody else who listens, and sends the same to everyone; None: it never answers."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._listening = socket.create_server(('127.0.0.1', 0))
        self._held: list[Any] = []
        self.address = f'127.0.0.1:{self._listening.getsockname()[1]}'
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        self._held.append(connection)
        if self._answer is not None:
            connection.recv(4096)
            connection.sendall(self._answer)
            connection.close()

    def __enter__(self) -> Stranger:
        self._thread.start()
        return self

    def __exit__(self, *of: object) -> None:
        self._thread.join()
        for one in [self._listening, *self._held]:
            one.close()


@pytest.mark.parametrize(
    ('answer', 'said'),
    [
        (None, 'no answer from 127.0.0.1:'),
        (b'SSH-2.0-OpenSSH_9.2\r\n', 'no answer from 127.0.0.1:'),
        (b'', 'no answer from 127.0.0.1:'),
        (b'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n', '/readyz answered 500 Oops'),
        (b'HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\n[]', '/readyz answered 503 No'),
    ],
)
def test_somebody_else(answer: bytes | None, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever listens there, the answer is 1 and a line."""
    with Stranger(answer) as stranger:
        timeout = '30' if answer else '0.2'
        assert main(['health', '--address', stranger.address, '--timeout', timeout]) == 1
    out = capsys.readouterr().out
    assert said in out
    assert out.count('\n') == 1


def test_it_imports_little() -> None:
    """Neither gevent nor kombu nor click: it starts every few seconds, also where no extra is installed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith('COVERAGE_')}
    done = subprocess.run(
        [sys.executable, '-c', IMPORTED], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr


def test_as_a_module(address: str, reasons: list[str]) -> None:
    """`python -m greenmicro health` is the same command, and ends with its exit code."""
    reasons.append(json.dumps('a "quoted" reason'))
    command = [sys.executable, '-m', 'greenmicro', 'health', '--address', address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, f'not ready: {reasons[0]}\n')
