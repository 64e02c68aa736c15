"""T and L in the soak: the soaked service's children die, or it does, and a next life begins."""

import os
import signal

from tests.faults.rows import life
from tests.faults.rows.children import DEATHS, MOST_DEATHS
from tests.faults.soak.service import LIMIT_S, LIMITED
from tests.faults.soak.soaked import Soaked


def dying_children(soaked: Soaked) -> None:
    """Children die of messages in every way, until those are given up."""
    for kind in DEATHS:
        soaked.fail('lost', *soaked.scene.publisher.send(1, row='T3', kind=kind))


def greedy(soaked: Soaked) -> None:
    """A child at its limit of memory."""
    soaked.fail('', *soaked.scene.publisher.send(1, row='T5', greedy=True))


def endless(soaked: Soaked) -> None:
    """Calls that never end, in a queue with a time limit."""
    for kind in ('loop', 'regex', 'deaf'):
        soaked.fail('time', *soaked.scene.publisher.send(1, LIMITED, row='T6', kind=kind))


def not_importable(soaked: Soaked) -> None:
    """A child is lost while new ones cannot import the target."""
    broken = soaked.scene.folder / 'broken'
    broken.touch()
    os.kill(soaked.scene.program.children()[0], signal.SIGKILL)
    soaked.scene.hold(4)
    broken.unlink()
    workers = soaked.scene.service.workers
    soaked.scene.until('all children', lambda: len(soaked.scene.program.children()) >= workers, 30)


def child_killed(soaked: Soaked) -> None:
    """kill -9 of a child, and another comes."""
    life.replaced(soaked.scene, soaked.scene.program.children())


def child_frozen(soaked: Soaked) -> None:
    """SIGSTOP of a child at work: it is killed at the time limit."""
    scene = soaked.scene
    (name,) = scene.publisher.send(1, LIMITED, row='slow', sleep_s=LIMIT_S / 2)
    scene.until('it has begun', lambda: name in scene.ledger.begun())
    pid = scene.ledger.begun()[name]
    os.kill(pid, signal.SIGSTOP)
    scene.until('it is killed', lambda: pid not in scene.program.children(), LIMIT_S + 5)
    soaked.fail('time', name)


def deadly(soaked: Soaked) -> None:
    """The whole service dies of a message, until that is given up."""
    scene = soaked.scene
    soaked.end_life()
    scene.fail_for('lost', *scene.publisher.send(1, row='T3', kind='segfault'))
    wanted = len(scene.meant_to_fail.keys() - scene.remains.dead.keys())
    deaths = 0
    while scene.broker.dead() < wanted and deaths < 5 * MOST_DEATHS:
        if not scene.program.running:
            deaths += 1
            scene.wait_end()
            soaked.start(ready=False)
        scene.hold(0.05)
    scene.check(f'given up at the death {MOST_DEATHS}, found {deaths}', deaths == MOST_DEATHS)
    scene.wait_ready(scene.program)
    soaked.next_life(scene.program)


def terminated(soaked: Soaked) -> None:
    """SIGTERM."""
    soaked.end_life()
    soaked.scene.check('exit code 0', soaked.scene.stop() == 0)
    soaked.next_life()


def killed(soaked: Soaked) -> None:
    """kill -9: its children go too."""
    soaked.end_life()
    soaked.scene.program.signal(signal.SIGKILL)
    soaked.scene.wait_end()
    soaked.scene.until('no orphan', lambda: not soaked.scene.program.survivors(), 5)
    soaked.next_life()


def interrupted_as_a_group(soaked: Soaked) -> None:
    """Ctrl-C at a terminal."""
    soaked.end_life()
    os.killpg(soaked.scene.program.pid, signal.SIGINT)
    soaked.scene.check('exit code 0', soaked.scene.wait_end() == 0)
    soaked.next_life()


def rolled(soaked: Soaked) -> None:
    """A second instance begins before the first one ends."""
    soaked.end_life()
    old = soaked.life.program
    new = soaked.start()
    soaked.scene.check('exit code 0', soaked.scene.stop(old) == 0)
    soaked.next_life(new)


FAULTS = {
    'T3': dying_children,
    'T4': deadly,
    'T5': greedy,
    'T6': endless,
    'T10': not_importable,
    'L1': terminated,
    'L5': killed,
    'L6': child_killed,
    'L6a': child_frozen,
    'L8': interrupted_as_a_group,
    'L9': rolled,
}
