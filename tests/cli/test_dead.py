"""`greenmicro dead`: what it prints, its exit codes, and what it does to the queues."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from greenmicro.cli import main
from greenmicro.messages import Reason
from tests.cli.letters import DEAD, WORK, declare, fill, ids, letter_of
from tests.support.amqp_client import Client
from tests.support.certificates import Authority
from tests.support.rabbitmq import Node
from tests.support.tls_front import Front


@pytest.fixture(autouse=True)
def _environment(amqp_uri: str, amqp_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the broker is; four letters, of two errors and two reasons."""
    monkeypatch.setenv('GREENMICRO_AMQP_URI', amqp_uri)
    declare(amqp_client, 'classic')
    letters = [
        letter_of(0, 'shop.errors.SoldOut: no tea'),
        letter_of(1, 'KeyError: 1'),
        letter_of(2, 'greenmicro.errors.PayloadError: no JSON', Reason.UNDECODABLE),
        letter_of(3, 'KeyError: 3'),
    ]
    fill(amqp_client, letters)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each, by the work queue's name or the dead queue's; no colours, as this is no terminal."""
    for name in (WORK, DEAD):
        assert main(['dead', 'list', name]) == 0
        first, empty, heading, *rows = capsys.readouterr().out.splitlines()
        assert (first, empty) == ('orders.dead: 4 letters', '')
        assert heading.startswith('TIME (UTC)')
        assert [row.split()[-2:] for row in rows] == [[str(number), '9'] for number in range(4)]
        assert '\x1b' not in ''.join(rows)


@pytest.mark.parametrize(
    ('options', 'found'),
    [
        (['--error', 'KeyError'], [1, 3]),
        (['--error', 'shop.errors.SoldOut'], [0]),
        (['--error', 'no tea'], [0]),
        (['--error', 'keyerror'], []),
        (['--reason', 'Undecodable'], [2]),
        (['--reason', 'target', '--error', 'Key'], [1, 3]),
        (['--error', 'KeyError', '--limit', '1'], [1]),
        (['--limit', '2'], [0, 1]),
        ([], [0, 1, 2, 3]),
    ],
)
def test_selection(
    options: list[str], found: list[int], capsys: pytest.CaptureFixture[str], amqp_client: Client
) -> None:
    """By parts of reason and error, and by number; JSON has them for programs; all stay."""
    assert main(['dead', 'list', WORK, '--json', *options]) == 0
    assert [int(one['message_id']) for one in json.loads(capsys.readouterr().out)] == found
    assert ids(amqp_client, DEAD) == ['0', '1', '2', '3']


def test_how_many_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    """It says how many were meant, of how many."""
    assert main(['dead', 'list', WORK, '--error', 'Key']) == 0
    assert main(['dead', 'list', WORK, '--error', 'nothing']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[-1]) == ('orders.dead: 2 of 4 letters', 'orders.dead: 0 of 4 letters')


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    """Letters whole, for people and for programs."""
    assert main(['dead', 'show', WORK, '--limit', '1']) == 0
    out = capsys.readouterr().out
    for text in ('1 of 4 letters', 'letter 1 of 1', 'no tea', '{"id": 0}', '  here', 'tenant=7'):
        assert text in out
    assert main(['dead', 'show', WORK, '--json']) == 0
    first, *others = json.loads(capsys.readouterr().out)
    assert len(others) == 3
    assert (first['body'], first['headers']['tenant'], first['origin_queue']) == ('{"id": 0}', 7, WORK)


def test_requeue(capsys: pytest.CaptureFixture[str], amqp_client: Client) -> None:
    """What was chosen is at work again."""
    assert main(['dead', 'requeue', WORK, '--error', 'KeyError']) == 0
    assert capsys.readouterr().out == 'orders.dead: requeued 2 of 4 letters\n'
    assert ids(amqp_client, WORK) == ['1', '3']
    assert ids(amqp_client, DEAD) == ['0', '2']


def test_requeue_that_cannot(capsys: pytest.CaptureFixture[str], amqp_client: Client) -> None:
    """What stays is told with the next step, and the exit code says so."""
    amqp_client.delete_queue(WORK)
    assert main(['dead', 'requeue', DEAD]) == 1
    out, err = capsys.readouterr()
    assert out == 'orders.dead: requeued 0 of 4 letters\n'
    assert err == "4 stayed: there is no queue 'orders'; start the service that declares it, then try again\n"
    assert ids(amqp_client, DEAD) == ['0', '1', '2', '3']


def test_drop(capsys: pytest.CaptureFixture[str], amqp_client: Client) -> None:
    """What was chosen is gone for good."""
    assert main(['dead', 'drop', WORK, '--reason', 'undecodable', '--yes']) == 0
    assert capsys.readouterr().out == 'orders.dead: dropped 1 of 4 letters\n'
    assert ids(amqp_client, DEAD) == ['0', '1', '3']
    assert main(['dead', 'drop', WORK, '--yes']) == 0
    assert ids(amqp_client, DEAD) == []


def test_drop_asks(amqp_client: Client, amqp_uri: str) -> None:
    """Without --yes it asks; where nobody can be asked it does nothing."""
    command = [sys.executable, '-m', 'greenmicro', 'dead', 'drop', WORK]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'give --yes' in done.stderr
    for answer, code, left in ((b'n\n', 1, 4), (b'y\n', 0, 0)):
        assert _answered(command, answer) == code
        assert len(ids(amqp_client, DEAD)) == left


def _answered(command: list[str], answer: bytes) -> int:
    """The exit code of a command at a terminal where somebody types an answer."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.write(ours, answer)
    said, _ = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert b'Drop all letters of orders.dead for good?' in said
    return process.returncode


@pytest.mark.parametrize(
    ('words', 'uri', 'code', 'said'),
    [
        (['list', 'nobodys'], None, 1, "there is no queue 'nobodys.dead' there"),
        (
            ['list', WORK],
            '',
            2,
            'where is the broker? Set GREENMICRO_AMQP_URI=amqp://user:password@host:5672/',
        ),
        (['list', WORK], 'memory://', 2, 'memory:// lives inside its service'),
        (['list', WORK], 'amqp://u:se:cr/et@h/', 2, 'wanted a URI like amqp://'),
        (['list', WORK], 'amqp://u:secret@127.0.0.1:1/', 1, 'no connection to 127.0.0.1:1'),
        (['list'], None, 2, "Missing argument 'QUEUE'"),
        (['list', WORK, '--limit', '0'], None, 2, 'not in the range'),
    ],
)
def test_errors(
    words: list[str],
    uri: str | None,
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is a line with the next step, without a traceback and without the password."""
    if uri is not None:
        monkeypatch.setenv('GREENMICRO_AMQP_URI', uri)
    assert main(['dead', *words]) == code
    out, err = capsys.readouterr()
    assert said in err
    assert out == ''
    for text in ('Traceback', 'secret', 'se:cr'):
        assert text not in err


def test_over_tls(
    rabbitmq: Node,
    vhost: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """AMQP_SSL says whom to trust, from the environment, as for services; nobody else is listened to."""
    authority = Authority(tmp_path)
    front = Front(rabbitmq, vhost, authority)
    monkeypatch.setenv('GREENMICRO_AMQP_URI', front.uri())
    # In a process of its own: amqp leaves the socket of a handshake that failed to the end of the process.
    command = [sys.executable, '-m', 'greenmicro', 'dead', 'list', WORK]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 1
    assert 'CERTIFICATE_VERIFY_FAILED' in refused.stderr
    monkeypatch.setenv('GREENMICRO_AMQP_SSL', json.dumps({'ca': str(authority.certificate)}))
    assert main(['dead', 'list', WORK]) == 0
    assert capsys.readouterr().out.startswith('orders.dead: 4 letters')
    front.server.stop()


@pytest.mark.parametrize(
    ('given', 'told'),
    [
        ('ca.pem', 'wanted JSON, as {"ca": "ca.pem"}; found \'ca.pem\''),
        ('{"verfy": true}', "'verfy' is no option of it; did you mean 'verify'?"),
        ('{"verify": false}', 'it is for an amqps:// URI'),
    ],
)
def test_options_of_tls_that_cannot_be(given: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are refused before anything is asked of the broker."""
    assert main(['dead', 'list', WORK, '--amqp-ssl', given]) == 2
    assert told in capsys.readouterr().err
