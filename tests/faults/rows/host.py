"""H: much of everything."""

import time

from tests.faults.judge import Limits
from tests.faults.row import Row
from tests.faults.rows.messages import memory
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
    scene.settle(60 if not scene.full else 1200)
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
    count = 10_000 if scene.full else 500
    scene.publisher.send(count, fails=True)
    scene.wait_finished(scene.publisher.send(20), 30)
    scene.settle(120)


STORM = "if payload.get('fails') and attempt < 3:\n    raise ValueError('not yet')"
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
