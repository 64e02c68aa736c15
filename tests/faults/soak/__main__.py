"""The soak: one service under load, a random row of the whole table every few seconds, no loss, no leak.

python -m tests.faults.soak --minutes 120 --seed 1 [--mode thread] [--every 20] [--rows N1,B1]

The rows are played like a shuffled pack of cards, which is shuffled again when all were played. A row that
makes sense on a running service is played in the soaked one; any other is played whole beside it on the same
node, with its own verdict. Rows that end the service begin its next life. Each life is warmed up with the
messages that take most memory, then measured, and compared with that at its end.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402   # imports below the patch, which must come first
import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import interrupts
from tests.faults.evidence import evidence_of
from tests.faults.frameworks import FRAMEWORKS
from tests.faults.judge import Limits, verdict
from tests.faults.row import Cell, Row
from tests.faults.scene import Scene
from tests.faults.soak.pack import Pack, warm_up
from tests.faults.soak.result import Soak, blame, write
from tests.faults.soak.service import SERVICE
from tests.faults.soak.soaked import Soaked
from tests.faults.tier import Tier
from tests.faults.together import Together
from tests.support.rabbitmq import Node

CHECKOUT = Path(__file__).parents[3]
SETTLE_S = 180.0


def main() -> int:
    """Soak; the exit code is 1 when anything broke its limit, 130 when it was interrupted."""
    asked = arguments()
    interrupts.to_main()
    cell = Cell(FRAMEWORKS[asked.framework], asked.mode, asked.queues)
    # What may be run twice is judged fault by fault.
    limits = Limits(duplicates=None, recover_s=None)
    row = Row('H8', 'soak', lambda scene: None, SERVICE, limits, proxied=True)
    with Node() as node, tempfile.TemporaryDirectory(prefix='soak-') as folder:
        scene = Scene(row, cell, node, Path(folder), Together(1), Tier(seed=asked.seed))
        with scene:
            soaked = Soaked(scene, warm_up)
            pack = Pack(soaked, random.Random(asked.seed), asked.rows.split(',') if asked.rows else None)
            began = time.monotonic()
            interrupted = soak(soaked, pack, asked)
            minutes = (time.monotonic() - began) / 60
            scene.collect()
        seen = evidence_of(scene)
    figures, broken = verdict(seen, limits)
    broken += blame(pack.faults, seen)
    told = (
        f'A soak of {minutes:.0f} min, a fault every {asked.every:g} s, seed {asked.seed}, '
        f'{cell.framework.name} in {cell.mode} mode on {cell.queue_type} queues, {len(pack.faults)} faults.'
    )
    told += ' Interrupted.' * interrupted
    result = Soak(told, pack.faults, soaked.lives, pack.left_out, figures, broken)
    path = asked.into / f'soak-{cell.mode}-{cell.queue_type}'
    write(path, result)
    print(f'{told}\n{figures}')
    print('passed' if not broken else 'FAILED:\n' + '\n'.join(broken))
    print(f'The report is in {path}.md and {path}.json.')
    return 130 if interrupted else int(bool(broken))


def soak(soaked: Soaked, pack: Pack, asked: argparse.Namespace) -> bool:
    """Faults until the time is over, one after the other, and an end in order; whether it was interrupted."""
    scene = soaked.scene
    ends = time.monotonic() + asked.minutes * 60
    interrupted = False
    try:
        soaked.begin()
        while time.monotonic() < ends:
            turn = time.monotonic() + asked.every
            pack.play_next()
            scene.hold(max(0.0, turn - time.monotonic()))
    except KeyboardInterrupt:
        interrupted = True
    except Exception as error:
        scene.remarks.append(f'broken off: {type(error).__name__}: {error}')
    try:
        soaked.mend()
        scene.settle(SETTLE_S)
        soaked.end_life()
        scene.finish()
    except Exception as error:
        scene.remarks.append(f'no end in order: {type(error).__name__}: {error}')
        print(scene.output()[-4000:])
    return interrupted


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--minutes', type=float, default=120)
    parser.add_argument('--seed', type=int, default=1, help='of the order of the rows')
    parser.add_argument('--every', type=float, default=20, help='seconds from fault to fault, or longer')
    parser.add_argument('--rows', default='', help='ids with commas between; default: all')
    parser.add_argument('--mode', default='thread')
    parser.add_argument('--queues', default='quorum', help='classic or quorum')
    parser.add_argument('--framework', default='greenmicro')
    parser.add_argument('--into', type=Path, default=CHECKOUT / 'build' / 'faults', help='the folder')
    return parser.parse_args()


if __name__ == '__main__':
    sys.exit(main())
