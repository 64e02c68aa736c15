"""H: much of everything."""

import time
from bisect import bisect
from collections.abc import Iterable

from tests.faults.judge import Limits
from tests.faults.row import Row
from tests.faults.rows.messages import memory
from tests.faults.rows.topology import UNTIL_TOLD
from tests.faults.scene import Scene
from tests.faults.service import doing

BACKLOG, FULL_BACKLOG = 5_000, 1_000_000
#: What a service may grow by while it works a backlog off.
GROWTH = 40_000_000


def backlog(scene: Scene) -> None:
    """A long backlog at start: the first message soon, and no more memory than for a short one."""
    scene.start()
    scene.wait_finished(scene.publisher.send(10))
    scene.stop()
    scene.publisher.bulk(FULL_BACKLOG if scene.full else BACKLOG)
    scene.start()
    began = time.monotonic()
    scene.until('the first message', lambda: len(scene.finished()) > 10, 30)
    scene.check('the first message within 2 s', time.monotonic() - began < 2)
    before = memory(scene)
    scene.settle(60 if not scene.full else 3600)
    grown = memory(scene) - before
    scene.check(f'memory grows by at most {GROWTH}, not {grown}', grown <= GROWTH)


FAN_OUT = """\
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(100) as pool:
    list(pool.map(lambda number: send('out', {'id': payload['id']}), range(payload['many'])))
"""


def fan_out(scene: Scene) -> None:
    """Thousands of publishes in one target, over few channels."""
    scene.start()
    count = 10_000 if scene.full else 2_000
    names = scene.publisher.send(1, many=count)
    scene.wait_finished(names, 60)
    with scene.client() as client:
        found, _ = client.queue_counts('out')
    scene.check(f'{count} outputs, found {found}', found == count)


def retry_storm(scene: Scene) -> None:
    """All fail at once; retries come back spread, and fresh messages are not starved."""
    scene.start()
    scene.publisher.bulk(10_000 if scene.full else 500, fails=True)
    scene.until('the targets run', lambda: len(scene.ledger.of('S')) >= scene.service.workers)
    scene.together(scene.let_go)  # the rates of cells that share the processors are compared in phase
    scene.let_go()
    scene.wait_finished(scene.publisher.send(20), 300 if scene.full else 30)
    scene.settle(300 if scene.full else 120)
    if scene.full:  # a few hundred are done within a second, in which chance decides
        compare_waves(scene)


def compare_waves(scene: Scene) -> None:
    """Compare second tries with first ones; third ones succeed, which takes less."""
    first, second = (
        most_in_a_second(float(line[3]) for line in scene.ledger.lines if line[::4] == ['S', attempt])
        for attempt in '12'
    )
    wanted = f'retries at twice the rate of first tries at most, {first}; found {second}'
    scene.check(wanted, second <= 2 * first)


def most_in_a_second(times: Iterable[float]) -> int:
    """How many of some moments lie within the second that holds the most of them."""
    ordered = sorted(times)
    return max(bisect(ordered, begin + 1) - number for number, begin in enumerate(ordered))


STORM = f"{UNTIL_TOLD}\nif payload.get('fails') and attempt < 3:\n    raise ValueError('not yet')"
ROWS = (
    Row('H1', 'a long backlog at start', backlog, doing('', workers=4), Limits(recover_s=None)),
    Row('H2', 'thousands of publishes in one target', fan_out, doing(FAN_OUT)),
    Row(
        'H3',
        'retry storm',
        retry_storm,
        doing(STORM, max_attempts=4, workers=4),
    ),
)
