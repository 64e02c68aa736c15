"""L: the life of the service: stops, kills, restarts."""

import itertools
import os
import signal
import time
from collections.abc import Callable

from tests.faults.judge import Limits
from tests.faults.row import Row
from tests.faults.scene import Scene
from tests.faults.service import doing

BEFORE = 100
LOAD = doing('time.sleep(0.02)', workers=4, prefetch=8)
ENDLESS = doing('time.sleep(600)', workers=4, prefetch=8, grace_s=1.0)
PATIENT = doing('time.sleep(600)', workers=4, prefetch=8)
#: How long a call may take where it may not take for ever.
LIMIT_S = 1.0
#: The broker delivers again what was unacked at a kill.
UNACKED = 8


def lives(scene: Scene, end: Callable[[Scene], None]) -> None:
    """A service at work comes to its end, as often as the tier asks; the next life does what was left."""
    scene.start()
    scene.publisher.load(0.004)
    for _ in scene.faults(BEFORE):
        end(scene)
        scene.start()


def terminated(scene: Scene) -> None:
    """SIGTERM, targets shorter than the grace."""
    scene.check('exit code 0', scene.stop() == 0)
    scene.check('nothing unacked', scene.remains.unacked() == 0)


def interrupted_as_a_group(scene: Scene) -> None:
    """Ctrl-C at a terminal: the whole process group gets it."""
    os.killpg(scene.program.pid, signal.SIGINT)
    scene.check('exit code 0', scene.wait_end() == 0)
    scene.check('no traceback', 'Traceback' not in scene.program.output)
    scene.check('nothing unacked', scene.remains.unacked() == 0)


def busy_for_ever(scene: Scene) -> None:
    """A service whose targets all run and will not end."""
    scene.start()
    scene.some(20)
    scene.until('its targets run', lambda: len(scene.ledger.of('S')) >= scene.service.workers)


def beyond_the_grace(scene: Scene) -> None:
    """Targets longer than the grace are interrupted, and their messages go back."""
    busy_for_ever(scene)
    scene.check('an exit code that says so', scene.stop() != 0)


def told_twice(scene: Scene, number: signal.Signals) -> None:
    """The second signal waits for nothing."""
    busy_for_ever(scene)
    scene.program.signal(number)
    scene.hold(0.2)
    scene.program.signal(number)
    scene.wait_end()


def killed(scene: Scene) -> None:
    """kill -9 of the parent: its children go too."""
    began = time.monotonic()
    scene.program.signal(signal.SIGKILL)
    scene.wait_end()
    scene.until('no orphan', lambda: not scene.program.survivors(), 5)
    scene.check('no orphan after a second', time.monotonic() - began < 1)


def child_killed(scene: Scene) -> None:
    """kill -9 of a child under load: its message is tried again, and a new child comes."""
    scene.start()
    scene.publisher.load(0.004)
    for _ in scene.faults(BEFORE):
        replaced(scene, scene.program.children())


def replaced(scene: Scene, children: list[int]) -> None:
    """Kill one of the children, and have another within a second."""
    os.kill(children[0], signal.SIGKILL)
    began = time.monotonic()
    scene.until('a new child', lambda: bool(set(scene.program.children()) - set(children)), 5)
    scene.check('a new child within a second', time.monotonic() - began < 1)


def child_frozen(scene: Scene) -> None:
    """SIGSTOP of a child at work: its message's time runs out, it is killed, and a new child comes."""
    scene.start()
    for _ in range(5 if scene.full else 2):
        scene.wait_finished(scene.some(5, 5))
        (name,) = scene.publisher.send(1, long=True)
        scene.fail_for('time', name)
        scene.until('it has begun', lambda name=name: name in scene.ledger.of('S'))  # type: ignore[misc]
        pid = next(int(line[2]) for line in scene.ledger.lines if line[:2] == ['S', name])
        os.kill(pid, signal.SIGSTOP)
        scene.until('it is killed', lambda pid=pid: pid not in scene.program.children(), LIMIT_S + 2)  # type: ignore[misc]
        others = scene.publisher.send(5)
        scene.wait_finished(others, 2)
    scene.check('no other message was started twice', scene.once())


def rolling(scene: Scene) -> None:
    """Three instances, each replaced in turn under load."""
    for _ in range(3):
        scene.start()
    scene.publisher.load(0.004)
    began = None
    for _ in scene.faults(BEFORE):
        began = began or time.monotonic()
        for old in [program for program in scene.programs if program.running]:
            scene.start()
            scene.check('exit code 0', scene.stop(old) == 0)
        scene.publisher.wait_for(BEFORE)
    assert began is not None, 'no fault was due'
    scene.settle()
    gap = longest_gap(scene, began)
    scene.check(f'no gap of over a second, found {gap:.2f} s', gap <= 1)


def longest_gap(scene: Scene, began: float) -> float:
    """The longest time without an end of a message although one was there to be worked on.

    Where nothing was there the publisher was slow, and no instance of the service is to blame.
    """
    sent_at = scene.publisher.confirmed_at
    lines = [line for line in scene.ledger.lines if line[0] == 'F' and line[1] in sent_at]
    ends = sorted((at, sent_at[line[1]]) for line in lines if (at := float(line[3])) > began)
    sent_of_rest = list(itertools.accumulate((sent for _, sent in reversed(ends)), min))[::-1]
    return max(
        later - max(earlier, sent)
        for ((earlier, _), (later, _)), sent in zip(itertools.pairwise(ends), sent_of_rest[1:], strict=True)
    )


ROWS = (
    Row('L1', 'SIGTERM under load', lambda scene: lives(scene, terminated), LOAD),
    Row('L2', 'SIGTERM, targets longer than the grace', beyond_the_grace, ENDLESS, Limits(stop_s=2.0)),
    Row(
        'L3',
        'SIGINT twice',
        lambda scene: told_twice(scene, signal.SIGINT),
        PATIENT,
        Limits(stop_s=1.0),
    ),
    Row(
        'L3a',
        'SIGTERM twice',
        lambda scene: told_twice(scene, signal.SIGTERM),
        PATIENT,
        Limits(stop_s=1.0),
        quick=False,
    ),
    Row('L5', 'kill -9 of the service', lambda scene: lives(scene, killed), LOAD, Limits(duplicates=UNACKED)),
    Row(
        'L6',
        'kill -9 of a child',
        child_killed,
        LOAD,
        Limits(duplicates=1),
        where='process',
    ),
    Row(
        'L6a',
        'SIGSTOP of a child',
        child_frozen,
        doing("time.sleep(0.5 if payload.get('long') else 0)", timeout_s=LIMIT_S),
        where='process',
    ),
    Row('L8', 'SIGINT to the process group', lambda scene: lives(scene, interrupted_as_a_group), LOAD),
    Row('L9', 'rolling restart of three instances', rolling, LOAD),
)
