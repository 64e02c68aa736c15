"""T: what targets raise, return, burn and print."""

import time

from tests.faults.row import Row
from tests.faults.rows.messages import memory
from tests.faults.rows.network import SENDING
from tests.faults.rows.topology import cut_inside_targets
from tests.faults.scene import Scene
from tests.faults.service import Listener, Service, doing

RAISING_TOP = """\
import sys
from greenlet import GreenletExit


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError('no text')


class Unpicklable(Exception):
    def __reduce__(self):
        raise RuntimeError('no pickle')


RAISES = {
    'plain': lambda: ValueError('as told'),
    'arguments': lambda: ValueError(lambda: None, sys.stdout),
    'unprintable': Unprintable,
    'unpicklable': Unpicklable,
    'base': lambda: BaseException('as told'),
    'exit': lambda: SystemExit(3),
    'greenlet exit': GreenletExit,
    'interrupt': KeyboardInterrupt,
}
"""
RAISING = "if 'kind' in payload:\n    raise RAISES[payload['kind']]()"
RAISED = ('plain', 'arguments', 'unprintable', 'unpicklable', 'base', 'exit', 'greenlet exit', 'interrupt')

RESULTS = """\
note('F', payload, attempt)
kinds = {'large': lambda: 'x' * 100_000_000, 'object': object, 'generator': lambda: iter(int, 1)}
return kinds[payload['kind']]()
"""
BUSY = """\
if payload.get('busy_s'):
    end = time.monotonic() + payload['busy_s']
    while time.monotonic() < end:
        pass
"""
NOISY = """\
import sys
if payload.get('kind') == 'flood':
    for _ in range(payload['lines']):
        print('x' * payload['width'])
        print('y' * payload['width'], file=sys.stderr)
elif payload.get('kind') == 'reads':
    assert sys.stdin.read() == ''
elif payload.get('kind') == 'closes':
    os.close(1)
    os.close(2)
"""
FORKING = """\
import logging
import threading
logging.getLogger('targets').info('before')
with threading.Lock():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
os.waitpid(pid, 0)
"""


def raising(scene: Scene) -> None:
    """Whatever a target raises is one failed attempt; its process lives on."""
    scene.start()
    family = {scene.program.pid, *scene.program.children()}
    for kind in RAISED:
        scene.some(5, len(RAISED) + 1)
        scene.fail_for('target', *scene.publisher.send(1, kind=kind))
    scene.some(5, len(RAISED) + 1)
    scene.settle()
    scene.check('no process has died', family == {scene.program.pid, *scene.program.children()})


def returning(scene: Scene) -> None:
    """Nobody waits for the result of an event's target: it is dropped, and the event has succeeded."""
    scene.start()
    for kind in ('large', 'object', 'generator') * 3:
        scene.publisher.send(1, kind=kind)


def busy(scene: Scene) -> None:
    """A target burns the processor without a pause; the link must not be lost by it, and the log names it."""
    scene.start()
    before = scene.proxy.accepted()
    seconds = 15 if scene.full else 8
    names = scene.publisher.send(1, busy_s=seconds)
    scene.some(20)
    scene.wait_finished(names, seconds + 15)
    scene.check('the connection is kept', scene.proxy.accepted() == before)
    scene.check('the log names the target', 'tasks.work' in scene.program.output.partition('ready after')[2])


def noisy(scene: Scene) -> None:
    """A gigabyte of output, closed descriptors and reads from an empty input hold nobody up."""
    scene.start()
    before = memory(scene)
    lines, width = (50_000, 10_000) if scene.full else (20_000, 100)
    for kind in ('flood', 'reads', 'closes'):
        names = scene.publisher.send(1, kind=kind, lines=lines, width=width)
        scene.wait_finished(scene.some(20, 3), 10)
        scene.wait_finished(names, 300 if scene.full else 60)
    grown = memory(scene) - before
    scene.check(f'memory grows by at most {GROWTH}, not {grown}', grown <= GROWTH)


def forking(scene: Scene) -> None:
    """Targets fork while other threads hold locks."""
    scene.start()
    scene.some(1000 if scene.full else 200)
    scene.settle(60)


def slow(scene: Scene) -> None:
    """A long backlog of slow messages leaves the link alone, and another listener its share."""
    scene.start()
    before = scene.proxy.accepted()
    scene.publisher.send(40)
    scene.until('they run', lambda: len(scene.ledger.of('S')) >= scene.service.workers)
    for _ in range(3):
        began = time.monotonic()
        scene.wait_finished(scene.publisher.send(1, 'other'))
        took_s = time.monotonic() - began
        scene.check(f'a turn within two slow calls, not {took_s:.1f} s', took_s <= 2 * SLOW_S + 0.5)
    scene.check('the connection is kept', scene.proxy.accepted() == before)


SLOW_S = 1.0
#: What a process may grow by while one prints.
GROWTH = 20_000_000
SLOW = Service((Listener(f'time.sleep({SLOW_S})'), Listener('', 'other', 'quick')), workers=8, prefetch=10)
ROWS = (
    Row('T1', 'raises anything', raising, doing(RAISING, top=RAISING_TOP)),
    Row('T2', 'returns what nobody can carry', returning, doing(RESULTS)),
    Row(
        'T7',
        'burns the processor on the hub',
        busy,
        doing(BUSY),
        where='thread',
        proxied=True,
    ),
    Row('T8', 'floods its output, closes it, reads its input', noisy, doing(NOISY), where='process'),
    Row(
        'T11',
        'result after the channel was replaced',
        lambda scene: cut_inside_targets(scene, 2),
        doing('time.sleep(0.5)\n' + SENDING, workers=8, confirm_timeout_s=15.0),
        proxied=True,
    ),
    Row('T12', 'slow targets, a long backlog', slow, SLOW, proxied=True),
    Row('T13', 'forks under load', forking, doing(FORKING)),
)
