"""M: what messages contain. Every bad one stands between good ones, which nothing may happen to."""

import gzip
import json
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pika
import psutil

from tests.faults.row import Row
from tests.faults.scene import Scene
from tests.faults.service import doing

#: For each bad message: its body, its properties, the reason of its dead letter.
Bad = dict[str, tuple[bytes, dict[str, Any], str]]
MALFORMED: Bad = {
    'half': (b'{"id":', {}, 'body'),
    'no-utf-8': (b'"\xff\xfe"', {}, 'body'),
    'words': (b'these are words', {}, 'body'),
    'empty': (b'', {}, 'body'),
    'two': (b'{"id": 1} {"id": 2}', {}, 'body'),
}
UNKNOWN: Bad = {
    'type': (b'{}', {'content_type': 'application/unknown'}, 'refused'),
    'no-type': (b'{}', {'content_type': None}, 'refused'),
    'encoding': (b'{}', {'content_encoding': 'utf-99'}, 'refused'),
}
#: Unpickled, or loaded as YAML, they would make a file.
PICKLE = b"cos\nsystem\n(S'touch {canary}'\ntR."
YAML = b"!!python/object/apply:os.system ['touch {canary}']"
SCHEMAS: Bad = {
    'another': (b'{"other": 1}', {}, 'target'),
    'list': (b'[1, 2, 3]', {}, 'target'),
    'text': (b'"id"', {}, 'target'),
    'null': (b'null', {}, 'target'),
}
BOMB_SIZE = 200_000_000
#: What a process may grow by while it is fed bombs: twice what a body may grow to.
GROWTH = 2 * 64 * 1024**2


def between(scene: Scene, bad: Bad) -> None:
    """Publish bad messages between good ones."""
    for name, (body, properties, reason) in bad.items():
        scene.some(10, len(bad) + 1)
        scene.fail_for(reason, scene.publisher.raw(body, name, **properties))
    scene.some(10, len(bad) + 1)


def refuse(bad: Bad) -> Callable[[Scene], None]:
    """A row of messages that never can succeed: at once in the dead queue, with their reason."""

    def play(scene: Scene) -> None:
        scene.start()
        between(scene, bad)
        scene.settle()
        scene.check('the service runs on', scene.program.running)

    return play


def evaluated(scene: Scene) -> None:
    """Formats whose reading runs code are refused unread."""
    canary = scene.folder / 'canary'
    refuse(running_code(canary))(scene)
    scene.check('nothing was executed', not canary.exists())


def running_code(canary: Path) -> Bad:
    """Messages that would make a file, were they read."""
    bad: Bad = {}
    for name, body in (('python-serialize', PICKLE), ('yaml', YAML)):
        filled = body.replace(b'{canary}', str(canary).encode())
        for content_type in (f'application/x-{name}', f'application/{name}'):
            bad[content_type] = (filled, {'content_type': content_type}, 'refused')
    return bad


class Forged(pika.BasicProperties):
    """Properties with one header, whose type and value are written as they are given.

    Args:
        kind: the header's AMQP type, one letter.
        value: its bytes.
    """

    def __init__(self, kind: bytes, value: bytes) -> None:
        super().__init__(content_type='application/json', delivery_mode=2)
        self.kind = kind
        self.value = value

    def encode(self) -> list[bytes]:
        """Flags, content type, headers, delivery mode: in the order of AMQP 0-9-1."""
        table = b'\x01h' + self.kind + self.value
        flags = self.FLAG_CONTENT_TYPE | self.FLAG_HEADERS | self.FLAG_DELIVERY_MODE
        json_type = b'\x10application/json'
        return [struct.pack('>H', flags), json_type, struct.pack('>I', len(table)), table, b'\x02']


def tables(depth: int) -> bytes:
    """The bytes of tables in tables, beyond what a reader that calls itself can read."""
    table = struct.pack('>I', 0)
    for _ in range(depth):
        entry = b'\x01tF' + table
        table = struct.pack('>I', len(entry)) + entry
    return table


#: The year 55840, which is what milliseconds make of a date; the largest number; tables 3000 deep.
FORGED = {
    'milliseconds': Forged(b'T', struct.pack('>Q', 1_700_000_000_000)),
    'largest': Forged(b'T', struct.pack('>Q', 2**63 - 1)),
    'nested': Forged(b'F', tables(3000)),
}


def unreadable_properties(scene: Scene) -> None:
    """Properties that a client library cannot decode end one message, and not the connection."""
    scene.start()
    for name, properties in FORGED.items():
        scene.some(10, len(FORGED) + 1)
        body = json.dumps({'id': name}).encode()
        scene.fail_for('properties', scene.publisher.forged(body, name, properties))
    scene.some(10, len(FORGED) + 1)


MANY_HEADERS = {f'h{count}': 'x' * 1000 for count in range(100)}


def many_headers(scene: Scene) -> None:
    """100 kB of headers, just below a frame: the message is run as any other."""
    scene.start()
    for _ in range(10):
        name = scene.publisher.fresh('headers-')
        scene.publisher.raw(json.dumps({'id': name}).encode(), name, headers=MANY_HEADERS)
        scene.some(10, 10)


def large_bodies(scene: Scene) -> None:
    """15 MB in one message, run as any other."""
    scene.start()
    for _ in range(3):
        name = scene.publisher.fresh('large-')
        scene.publisher.raw(json.dumps({'id': name, 'filler': 'x' * 15_000_000}).encode(), name)
        scene.some(10, 3)
    scene.settle(60)


def bombs(scene: Scene) -> None:
    """Small bodies that would become large ones, or take for ever."""
    scene.start()
    before = memory(scene)
    between(scene, exploding())
    scene.settle()
    grown = memory(scene) - before
    scene.check(f'memory grows by at most {GROWTH}, not {grown}', grown <= GROWTH)


def exploding() -> Bad:
    """What becomes large, or takes long, when it is read."""
    return {
        'gzip': (bomb(), {'headers': {'compression': 'application/x-gzip'}}, ''),
        'depth': (b'[' * 100_000 + b']' * 100_000, {}, ''),
        'digits': (b'{"id": ' + b'9' * 1_000_000 + b'}', {}, ''),
        'not-a-number': (b'{"id": NaN}', {}, ''),
    }


@cache
def bomb() -> bytes:
    """JSON that is a thousand times larger than its compressed form."""
    return gzip.compress(b'[' + b' ' * BOMB_SIZE + b']')


def memory(scene: Scene) -> int:
    """The most that the service's processes have had at any time, in bytes."""
    return max(peak(pid) for pid in (scene.program.pid, *scene.program.children()))


def peak(pid: int) -> int:
    """The most resident memory a process has had; what it has now where the kernel does not say."""
    try:
        lines = Path(f'/proc/{pid}/status').read_text().splitlines()
        found = [line.split()[1] for line in lines if line.startswith('VmHWM:')]
        return int(found[0]) * 1024
    except (OSError, IndexError):
        return int(psutil.Process(pid).memory_info().rss)


def poison(scene: Scene) -> None:
    """A message that always fails is tried so often, with a growing wait, and others go on meanwhile."""
    scene.start()
    names = scene.publisher.send(5, poison=True)
    scene.fail_for('target', *names)
    scene.wait_finished(scene.some(50))
    scene.settle()
    tries = {name: count for name, count in scene.ledger.of('S').items() if name in names}
    scene.check(f'three tries each, found {tries}', set(tries.values()) == {3})


POISON = "if payload.get('poison'):\n    raise ValueError('poison')"
ROWS = (
    Row('M1', 'malformed JSON, bad UTF-8', refuse(MALFORMED)),
    Row('M2', 'unknown or missing content type or encoding', refuse(UNKNOWN)),
    Row('M3', 'pickle and YAML', evaluated),
    Row('M4', 'undecodable properties', unreadable_properties),
    Row('M5', '100 kB of headers', many_headers),
    Row('M6', 'bodies of 15 MB', large_bodies, quick=False),
    Row('M7', 'decompression bomb, depth, digits, NaN', bombs),
    Row(
        'M8',
        'poison: a target that always raises',
        poison,
        doing(POISON, max_attempts=3),
    ),
    Row('M9', 'bodies of another schema', refuse(SCHEMAS)),
)
