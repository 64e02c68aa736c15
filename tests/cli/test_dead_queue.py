"""DeadQueue on a real broker, on both types of queues: nothing is lost, seen twice, or out of its order."""

from __future__ import annotations

import random
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from greenmicro.cli import connection, dead_queue
from greenmicro.cli.connection import DeadQueueError
from greenmicro.cli.letters import Letter
from greenmicro.messages import Reason
from tests.cli.letters import DEAD, KINDS, WORK, declare, fill, ids, letter_of, publish_raw
from tests.support.amqp_client import Client
from tests.support.proxy import Proxy
from tests.support.rabbitmq import Node


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, amqp_client: Client) -> str:
    """Each type of queue, with work and dead queue declared."""
    declare(amqp_client, request.param)
    return str(request.param)


@pytest.fixture
def seen(amqp_uri: str) -> Callable[..., list[str]]:
    """Walks the dead queue, keeps all, and returns their ids."""

    def walk(most: int | None = None) -> list[str]:
        with dead_queue.dead_queue(amqp_uri, DEAD) as queue:
            return [one.message_id for one in kept(queue, most)]

    return walk


def kept(queue: dead_queue.DeadQueue, most: int | None = None) -> Iterator[Letter]:
    """The letters of a queue, each kept."""
    for letter in queue.letters(most):
        queue.keep(letter)
        yield letter


def numbers(first: int, after: int) -> list[str]:
    return [str(number) for number in range(first, after)]


def test_a_walk_leaves_all_in_its_order(
    kind: str, amqp_client: Client, seen: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over more letters than one consumer may hold, whole or in part; once it is over all are back."""
    monkeypatch.setattr(dead_queue, 'WINDOW', 7)
    fill(amqp_client, map(letter_of, range(30)))
    assert seen(12) == numbers(0, 12)
    for _ in range(2):
        assert seen() == numbers(0, 30)
        assert amqp_client.queue_counts(DEAD) == (30, 0)
    seen(12)  # a quorum queue puts them behind what it had back before, a classic one does not
    found = ids(amqp_client, DEAD)
    assert found == numbers(0, 30) if kind == 'classic' else sorted(found, key=int) == numbers(0, 30)


def test_what_comes_meanwhile_is_not_seen(kind: str, amqp_client: Client, amqp_uri: str) -> None:
    """A letter that is requeued, fails and is dead again does not keep a walk going."""
    fill(amqp_client, map(letter_of, range(3)))
    found = []
    with dead_queue.dead_queue(amqp_uri, DEAD) as queue:
        for letter in queue.letters():
            found.append(letter.message_id)
            queue.requeue(letter)
            amqp_client.publish('', DEAD, b'', message_id='later')
    assert (found, queue.moved) == (numbers(0, 3), 3)
    assert ids(amqp_client, WORK) == numbers(0, 3)
    assert ids(amqp_client, DEAD) == ['later'] * 3


def test_what_others_take_meanwhile_is_not_waited_for(
    amqp_client: Client, amqp_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk ends when the queue is empty."""
    monkeypatch.setattr(dead_queue, 'IDLE_S', 0.05)
    monkeypatch.setattr(dead_queue, 'WINDOW', 1)
    declare(amqp_client, 'classic')
    fill(amqp_client, map(letter_of, range(3)))
    with dead_queue.dead_queue(amqp_uri, DEAD) as queue:
        walk = queue.letters()
        assert next(walk).message_id == '0'
        amqp_client.take(DEAD, 2)
        assert list(walk) == []
    assert ids(amqp_client, DEAD) == ['0']


def test_a_quorum_queue_drops_nothing(amqp_client: Client, seen: Callable[..., list[str]]) -> None:
    """It drops what was given back too often; however often it is listed, whole or in part, all stay."""
    declare(amqp_client, 'quorum', **{'x-delivery-limit': 8})
    fill(amqp_client, map(letter_of, range(6)))
    for turn in range(30):
        seen(None if turn % 2 else 2)
    assert sorted(ids(amqp_client, DEAD)) == numbers(0, 6)


def test_a_requeued_letter(kind: str, amqp_client: Client, amqp_uri: str) -> None:
    """It is in its work queue as it was sent, and no more here."""
    fill(amqp_client, [letter_of(1, properties={'user_id': 'guest', 'priority': 2, 'reply_to': 'r'})])
    with dead_queue.dead_queue(amqp_uri, DEAD) as queue:
        for letter in queue.letters():
            queue.requeue(letter)
    (got,) = amqp_client.take(WORK, 1)
    assert got.body == b'{"id": 1}'
    properties = got.properties
    assert (properties.message_id, properties.content_type, properties.reply_to) == (
        '1',
        'application/json',
        'r',
    )
    assert (properties.priority, properties.user_id, properties.delivery_mode) == (2, None, 2)
    # The time of its death stays: by it a service tells the letter from what it was before.
    assert type(got.headers['greenmicro.time']) is int
    assert got.headers == {
        'tenant': 7,
        'greenmicro.origin_exchange': 'shop.events',
        'greenmicro.origin_routing_key': 'placed',
        'greenmicro.time': got.headers['greenmicro.time'],
    }
    assert amqp_client.queue_counts(DEAD) == (0, 0)


def test_some_of_them(kind: str, amqp_client: Client, amqp_uri: str) -> None:
    """What is dropped and what is requeued is gone, the others are where they were."""
    fill(amqp_client, map(letter_of, range(10)))
    with dead_queue.dead_queue(amqp_uri, DEAD) as queue:
        for letter in queue.letters():
            (queue.keep, queue.drop, queue.requeue)[int(letter.message_id) % 3](letter)
    assert queue.moved == 6
    assert ids(amqp_client, DEAD) == ['0', '3', '6', '9']
    assert ids(amqp_client, WORK) == ['2', '5', '8']


def test_without_a_work_queue_they_stay(kind: str, amqp_client: Client, amqp_uri: str) -> None:
    """Those whose queue is gone stay, and are told; those of other queues go all the same."""
    fill(
        amqp_client, [letter_of(number, queue=WORK if number % 2 else 'gone') for number in range(400)], DEAD
    )
    with dead_queue.dead_queue(amqp_uri, DEAD) as queue:
        for letter in queue.letters():
            queue.requeue(letter)
    ((why, count),) = queue.stayed.items()
    assert (queue.moved, count) == (200, 200)
    assert why.startswith("there is no queue 'gone'; start the service")
    assert ids(amqp_client, DEAD) == [str(number) for number in range(0, 400, 2)]
    assert amqp_client.queue_counts(WORK) == (200, 0)


def test_a_full_work_queue_refuses(amqp_client: Client, amqp_uri: str) -> None:
    """What it does not take stays."""
    amqp_client.declare_queue(DEAD)
    amqp_client.declare_queue(WORK, arguments={'x-max-length': 2, 'x-overflow': 'reject-publish'})
    fill(amqp_client, map(letter_of, range(5)))
    with dead_queue.dead_queue(amqp_uri, DEAD) as queue:
        for letter in queue.letters():
            queue.requeue(letter)
    assert queue.stayed == {"queue 'orders' refuses it (is it full?)": 3}
    assert len(ids(amqp_client, WORK) + ids(amqp_client, DEAD)) == 5
    assert queue.moved == 2


def test_unreadable_ones_stay(kind: str, amqp_client: Client, amqp_uri: str) -> None:
    """One of a service and one of a stranger: shown, never sent back, and no hindrance to others."""
    ours = letter_of(1, reason=Reason.UNREADABLE, unreadable=b'\x10\x00abc')
    fill(amqp_client, [ours])
    publish_raw(amqp_client, DEAD, b'\1tT' + struct.pack('>Q', 2**63 - 1), b'theirs')
    fill(amqp_client, [letter_of(3)])
    with dead_queue.dead_queue(amqp_uri, DEAD) as queue:
        letters = list(queue.letters())
        for letter in letters:
            queue.requeue(letter)
    assert [(one.unreadable, one.body) for one in letters] == [
        (True, b'{"id": 1}'),
        (True, b'theirs'),
        (False, b'{"id": 3}'),
    ]
    assert (queue.moved, *queue.stayed.values()) == (1, 2)
    assert ids(amqp_client, WORK) == ['3']
    assert amqp_client.queue_counts(DEAD) == (2, 0)


def test_a_header_that_cannot_be_sent_back(amqp_client: Client, amqp_uri: str) -> None:
    """What the library cannot write stays, and the others go."""
    declare(amqp_client, 'classic')
    fill(amqp_client, map(letter_of, range(3)))
    with dead_queue.dead_queue(amqp_uri, DEAD) as queue:
        for letter in queue.letters():
            odd = {'odd': object()} if letter.message_id == '1' else {}
            queue.requeue(letter._replace(headers={**letter.headers, **odd}))
    assert (queue.moved, *queue.stayed.values()) == (2, 1)
    assert ids(amqp_client, WORK) == ['0', '2']
    assert ids(amqp_client, DEAD) == ['1']


def test_headers_that_grow_over_a_frame_as_they_are_sent(
    kind: str, amqp_client: Client, amqp_uri: str
) -> None:
    """Such a letter stays, and ends no walk: those before it go once, and those behind it too."""
    fill(amqp_client, [letter_of(1)])
    small = b'b\1' * 30_000  # numbers of a byte each, which amqp writes with four
    publish_raw(amqp_client, DEAD, b'\4manyA' + struct.pack('>I', len(small)) + small, b'theirs')
    fill(amqp_client, [letter_of(3)])
    with dead_queue.dead_queue(amqp_uri, DEAD) as queue:
        for letter in queue.letters():
            queue.requeue(letter)
    assert (queue.moved, *queue.stayed.values()) == (2, 1)
    assert ids(amqp_client, WORK) == ['1', '3']
    assert amqp_client.queue_counts(DEAD) == (1, 0)


def test_killed_at_any_moment(
    kind: str, amqp_client: Client, amqp_uri: str, vhost: str, rabbitmq: Node, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a requeue, again and again: each id is in one of the queues, or in both."""
    chance = random.Random(f'killed {kind}')
    count = 300
    fill(amqp_client, map(letter_of, range(count)))
    killed = 0
    with Proxy(rabbitmq.port) as proxy:
        # Slow enough that there is a middle.
        proxy.set(up={'mode': 'rate', 'bytes_per_second': 150_000})
        uri = amqp_uri.replace(f':{rabbitmq.port}/', f':{proxy.port}/')
        command = [sys.executable, '-m', 'greenmicro', 'dead', 'requeue', WORK, '--amqp-uri', uri]
        for _ in range(4):
            goal = amqp_client.queue_counts(WORK)[0] + chance.randint(10, 60)
            process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
            while process.poll() is None and amqp_client.queue_counts(WORK)[0] < goal:
                pass
            process.kill()
            killed += process.wait() == -signal.SIGKILL
            while rabbitmq.queues(vhost)[DEAD].unacked:
                pass
    assert killed == 4
    assert amqp_client.queue_counts(DEAD)[0]
    assert {*ids(amqp_client, WORK), *ids(amqp_client, DEAD)} == {*numbers(0, count)}


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ((':guest@', ':secret@'), "as 'guest', virtual host"),
        (('test-', 'no-'), "virtual host 'no-"),
        (('127.0.0.1:', '127.0.0.2:'), 'no connection to 127.0.0.2'),
    ],
)
def test_no_connection(amqp_uri: str, change: tuple[str, str], said: str) -> None:
    """It says where, as whom and why, without the password, and what to look at."""
    uri = amqp_uri.replace(*change)
    with pytest.raises(DeadQueueError) as caught, dead_queue.dead_queue(uri, DEAD):
        pass
    assert said in str(caught.value)
    assert 'is --amqp-uri right?' in str(caught.value)
    assert 'secret' not in str(caught.value)


def test_the_next_host_is_tried(amqp_client: Client, amqp_uri: str) -> None:
    """As services try them."""
    amqp_client.declare_queue(DEAD)
    with dead_queue.dead_queue(f'amqp://guest:guest@127.0.0.1:1/;{amqp_uri}', DEAD) as queue:
        assert queue.count() == 0


def test_a_host_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up after its time."""
    monkeypatch.setattr(connection, 'CONNECT_TIMEOUT_S', 0.1)
    with (
        socket.create_server(('127.0.0.1', 0)) as silent,
        pytest.raises(DeadQueueError, match='timed out'),
        dead_queue.dead_queue(f'amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}/', DEAD),
    ):
        pass


def test_no_such_queue(amqp_uri: str) -> None:
    """It says what that may mean."""
    with (
        pytest.raises(DeadQueueError, match=r"there is no queue 'orders\.dead' there: no letter was ever"),
        dead_queue.dead_queue(amqp_uri, DEAD) as queue,
    ):
        queue.count()


def test_a_queue_deleted_meanwhile(amqp_client: Client, amqp_uri: str) -> None:
    """The walk ends with an error."""
    declare(amqp_client, 'classic')
    fill(amqp_client, map(letter_of, range(3)))

    def delete_while_walking() -> None:
        with dead_queue.dead_queue(amqp_uri, DEAD) as queue:
            for letter in kept(queue):
                if letter.message_id == '0':
                    amqp_client.delete_queue(DEAD)

    with pytest.raises(DeadQueueError):
        delete_while_walking()


def test_a_broker_that_falls_silent(
    kind: str,
    amqp_client: Client,
    amqp_uri: str,
    vhost: str,
    rabbitmq: Node,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without confirms it ends with an error after its time, and each letter is in one queue or in both."""
    for module in (dead_queue, connection):
        monkeypatch.setattr(module, 'ANSWER_TIMEOUT_S', 1.0)
    fill(amqp_client, map(letter_of, range(20)))
    with Proxy(rabbitmq.port) as proxy:
        uri = amqp_uri.replace(f':{rabbitmq.port}/', f':{proxy.port}/')

        def requeue_all() -> None:
            with dead_queue.dead_queue(uri, DEAD) as queue:
                letters = list(queue.letters())
                proxy.set(down={'mode': 'blackhole'})
                for letter in letters:
                    queue.requeue(letter)

        with pytest.raises(DeadQueueError, match=r'did not confirm within 1 s|timed out'):
            requeue_all()
    while rabbitmq.queues(vhost)[DEAD].unacked:
        pass
    assert {*ids(amqp_client, WORK), *ids(amqp_client, DEAD)} == {*numbers(0, 20)}
