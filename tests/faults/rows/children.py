"""T: what kills the process that targets run in, or keeps it for ever."""

import os
import signal
import time

from tests.faults.judge import Limits
from tests.faults.row import Row
from tests.faults.scene import Scene
from tests.faults.service import doing

DYING_TOP = """\
import ctypes
import signal

DIES = {
    'segfault': lambda: ctypes.string_at(0),
    'exit 0': lambda: os._exit(0),
    'exit 1': lambda: os._exit(1),
    'abort': os.abort,
    'killed': lambda: os.kill(os.getpid(), signal.SIGKILL),
}
"""
DYING = "if 'kind' in payload:\n    DIES[payload['kind']]()\ntime.sleep(0.002)"
DEATHS = ('segfault', 'exit 0', 'exit 1', 'abort', 'killed')
#: A message is given up at this death.
MOST_DEATHS = 3

OUT_OF_MEMORY = """\
import resource
if payload.get('greedy'):
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (600_000_000, old[1]))
    try:
        bytearray(2_000_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)
"""
ENDLESS = """\
if payload.get('kind') == 'loop':
    while True:
        pass
elif payload.get('kind') == 'regex':
    import re
    re.match('(a+)+$', 'a' * 60 + 'b')
elif payload.get('kind') == 'deaf':
    import signal
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass
"""
BROKEN_TOP = """\
with open('../spawns', 'a') as spawns:
    spawns.write(f'{time.monotonic()}\\n')
if os.path.exists('../broken'):
    raise ImportError('broken for now')
"""
LIMIT_S = 1.0
DYING_SERVICE = doing(DYING, top=DYING_TOP, max_crashes=MOST_DEATHS)


def dying_children(scene: Scene) -> None:
    """A child that dies is replaced at once; its message is tried again, and given up in the end."""
    scene.start()
    for kind in DEATHS:
        scene.some(10, len(DEATHS) + 1)
        scene.fail_for('lost', *scene.publisher.send(1, kind=kind))
    scene.some(10, len(DEATHS) + 1)
    scene.settle()
    scene.check('no other message was started twice', scene.once())
    deaths = [count for name, count in scene.ledger.of('S').items() if name in scene.meant_to_fail]
    scene.check(f'given up at the death {MOST_DEATHS}, found {deaths}', set(deaths) == {MOST_DEATHS})


def dying_process(scene: Scene) -> None:
    """The whole service dies of a message, until whoever starts it again is rid of it."""
    scene.start()
    scene.fail_for('lost', *scene.publisher.send(1, kind='segfault'))
    scene.some(20)
    deaths = 0
    while scene.broker.dead() < 1 and deaths < 5 * MOST_DEATHS:
        if not scene.program.running:
            deaths += 1
            scene.check('the exit code says so', scene.wait_end() != 0)
            scene.start(ready=False)
        scene.hold(0.05)
    scene.check(f'given up at the death {MOST_DEATHS}, found {deaths}', deaths == MOST_DEATHS)
    scene.wait_ready(scene.program)


def greedy(scene: Scene) -> None:
    """A child at its limit of memory fails one message."""
    scene.start()
    for _ in range(3):
        scene.some(10, 4)
        scene.fail_for('', *scene.publisher.send(1, greedy=True))
    scene.some(10, 4)


def endless(scene: Scene) -> None:
    """A child that never ends its call is killed soon after the time limit."""
    scene.start()
    for kind in ('loop', 'regex', 'deaf'):
        names = scene.publisher.send(1, kind=kind)
        scene.fail_for('time', *names)
        scene.until('it has begun', lambda names=names: set(names) <= set(scene.ledger.of('S')))  # type: ignore[misc]
        scene.until('it is dead', lambda: scene.broker.dead() == len(scene.meant_to_fail), LIMIT_S + 2)
        scene.wait_finished(scene.some(5, 3))


def not_importable(scene: Scene) -> None:
    """A target's module that breaks later breaks only new children, which are not started in a spin."""
    scene.start()
    scene.wait_finished(scene.some(5, 2))
    broken, spawns = scene.folder / 'broken', scene.folder / 'spawns'
    broken.touch()
    before = len(spawns.read_text().split())
    began = time.monotonic()
    os.kill(scene.program.children()[0], signal.SIGKILL)
    scene.hold(4)
    spawned = len(spawns.read_text().split()) - before
    most = time.monotonic() - began + 1
    scene.check(f'no spin of starts, found {spawned} in 4 s', spawned <= most)
    scene.check('it tries again', spawned >= 1)
    broken.unlink()
    scene.some(20, 2)


ROWS = (
    Row(
        'T3',
        'segfault, exit, abort, kill -9 of a child',
        dying_children,
        DYING_SERVICE,
        Limits(duplicates=None),
        where='process',
    ),
    Row(
        'T4',
        'segfault of the whole service',
        dying_process,
        DYING_SERVICE,
        Limits(duplicates=None),
        where='thread',
    ),
    Row('T5', 'out of memory', greedy, doing(OUT_OF_MEMORY), where='process'),
    Row(
        'T6',
        'endless loop, endless regex, deaf to signals',
        endless,
        doing(ENDLESS, timeout_s=LIMIT_S),
        where='process',
    ),
    Row(
        'T10',
        'cannot be imported by a new child',
        not_importable,
        doing('', top=BROKEN_TOP),
        Limits(duplicates=1),
        where='process',
    ),
)
