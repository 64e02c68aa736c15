"""The soak: one service under load, a random fault every few seconds, and at the end nothing lost or leaked.

python -m tests.faults.soak --minutes 120 --seed 1 [--mode thread] [--every 20]
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402   # imports below the patch, which must come first
import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import psutil

from tests.faults.frameworks import FRAMEWORKS
from tests.faults.judge import Limits, verdict
from tests.faults.row import Cell, Row
from tests.faults.rows.broker import ALARMED, CLEAR_MEMORY, CLOSE_ALL, RAISE_MEMORY
from tests.faults.rows.network import SENDING
from tests.faults.scene import Scene
from tests.faults.service import doing
from tests.faults.together import Together
from tests.support.rabbitmq import Node

#: What is measured after the first so many faults is what later ones are compared with.
WARM_UP = 5
MEMORY_LIMIT = 1.10


@dataclass(frozen=True)
class Leaks:
    """What the service's main process has, seen from outside; greenlets are not seen from there."""

    memory: int
    descriptors: int
    threads: int
    children: int

    @classmethod
    def of(cls, pid: int) -> 'Leaks':
        """Measure a process."""
        process = psutil.Process(pid)
        with process.oneshot():
            memory, threads = process.memory_info().rss, process.num_threads()
        return cls(memory, process.num_fds(), threads, len(process.children(recursive=True)))

    def most(self, other: 'Leaks') -> 'Leaks':
        """The larger of each."""
        return Leaks(*map(max, astuple(self), astuple(other)))

    def against(self, first: 'Leaks') -> list[str]:
        """A sentence for each thing that is more than in the first measures."""
        limits = replace(first, memory=int(first.memory * MEMORY_LIMIT))
        return [
            f'{field.name} {getattr(first, field.name)} before, {getattr(self, field.name)} now'
            for field in fields(self)
            if getattr(self, field.name) > getattr(limits, field.name)
        ]


def silence(scene: Scene, seconds: float, **state: object) -> None:
    """A bad link for a while."""
    scene.proxy.set(**state)
    scene.hold(seconds)
    scene.proxy_passes()


def alarm(scene: Scene) -> None:
    """A memory alarm for a moment."""
    scene.node.eval(RAISE_MEMORY)
    scene.until('the alarm is on', lambda: scene.node.eval(ALARMED) == 'true')
    scene.hold(2)
    scene.node.eval(CLEAR_MEMORY)


def pause(scene: Scene) -> None:
    """A broker that hangs for a while."""
    scene.node.pause()
    scene.hold(8)
    scene.node.resume()


def kill_broker(scene: Scene) -> None:
    """kill -9 of the broker, and a start."""
    scene.node.kill()
    scene.node.start()


BLACKHOLE, STALL = {'mode': 'blackhole'}, {'mode': 'stall'}
FAULTS: dict[str, Callable[[Scene], object]] = {
    'N1': lambda scene: scene.proxy.set(now='rst'),
    'N2': lambda scene: scene.proxy.set(now='fin'),
    'N3': lambda scene: silence(scene, 7, down=BLACKHOLE),
    'N4': lambda scene: silence(scene, 7, up=BLACKHOLE),
    'N6': lambda scene: silence(scene, 7, up=STALL),
    'N7': lambda scene: silence(scene, 5, down={'mode': 'delay', 'seconds': 0.4, 'jitter': 0.3}),
    'N9': lambda scene: silence(scene, 5, up={'mode': 'slice'}, down={'mode': 'slice'}),
    'N13': lambda scene: silence(scene, 5, accept='tarpit', now='rst'),
    'B1': kill_broker,
    'B2': lambda scene: scene.node.restart(),
    'B3': pause,
    'B5': lambda scene: scene.node.eval(CLOSE_ALL),
    'B6': alarm,
    'M1': lambda scene: scene.fail_for('body', scene.publisher.raw(b'{"id":')),
    'T1': lambda scene: scene.fail_for('target', *scene.publisher.send(1, fails=True)),
}
TARGET = "if payload.get('fails'):\n    raise ValueError('as told')\n" + SENDING
# An alarm or a frozen broker may last longer than a publish waits otherwise.
SERVICE = doing(TARGET, workers=4, confirm_timeout_s=40.0)


def soak(scene: Scene, minutes: float, every_s: float, chances: random.Random) -> None:
    """Faults until the time is over, one after the other, and the leaks of it."""
    program = scene.start()
    scene.publisher.load(0.02)
    first = Leaks(0, 0, 0, 0)
    ends = time.monotonic() + minutes * 60
    number = 0
    while time.monotonic() < ends:
        turn = time.monotonic() + every_s
        name = chances.choice(sorted(FAULTS))
        FAULTS[name](scene)
        number += 1
        scene.publisher.wait_for(20, 60)
        scene.hold(max(0.0, turn - time.monotonic()))
        seen = Leaks.of(program.pid)
        print(f'{number:4} {name:4} confirmed {len(scene.publisher.confirmed)}, {seen}', flush=True)
        if number <= WARM_UP:
            first = first.most(seen)  # threads come and go: the most that were seen
    scene.settle(120)
    scene.check(f'more than {WARM_UP} faults, found {number}', number > WARM_UP)
    for grown in Leaks.of(program.pid).against(first):
        scene.check(f'no leak: {grown}', False)


def main() -> int:
    """Soak; the exit code is 1 when anything broke its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--minutes', type=float, default=120)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--every', type=float, default=20, help='seconds from fault to fault')
    parser.add_argument('--mode', default='thread')
    parser.add_argument('--queues', default='quorum')
    parser.add_argument('--framework', default='greenmicro')
    asked = parser.parse_args()
    chances = random.Random(asked.seed)
    # A killed broker may forget what it had not saved of the last acks: a few runs again.
    row = Row(
        'H8',
        'soak',
        lambda scene: soak(scene, asked.minutes, asked.every, chances),
        SERVICE,
        Limits(duplicates=None, recover_s=None),
        proxied=True,
    )
    cell = Cell(FRAMEWORKS[asked.framework], asked.mode, asked.queues)
    with Node() as node, tempfile.TemporaryDirectory(prefix='soak-') as folder:
        scene = Scene(row, cell, node, Path(folder), Together(1), True)
        with scene:
            try:
                row.play(scene)
                scene.finish()
            except Exception as error:
                scene.remarks.append(f'not played to its end: {type(error).__name__}: {error}')
                print(scene.output()[-4000:])
            scene.collect()
        figures, broken = verdict(scene.evidence(), row.limits)
    print(f'seed {asked.seed}, {asked.minutes:g} min, {cell}: {figures}')
    print('passed' if not broken else 'FAILED: ' + '; '.join(broken))
    return 1 if broken else 0


if __name__ == '__main__':
    sys.exit(main())
