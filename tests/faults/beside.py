"""The quick tier in a process of its own: rows play while other tests run, and each leaves how it ended.

python -m tests.faults.beside FOLDER ROW...    until all are played, or its input ends
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402   # imports below the patch, which must come first
import json
import sys
from contextlib import ExitStack
from pathlib import Path

import gevent
from gevent.fileobject import FileObjectPosix

from tests.faults.play import Batch
from tests.faults.quick import cells_of
from tests.faults.row import Row
from tests.faults.rows import ROWS
from tests.support.rabbitmq import Node

#: So many rows at a time of those that leave the broker alone; the others play one after the other.
SIDE_BY_SIDE = 2


def main(folder: Path, rows: list[Row]) -> None:
    """Play rows, on one node those that the whole broker suffers, on another the rest."""
    kinds = (
        ([row for row in rows if row.own_node], 1),
        ([row for row in rows if not row.own_node], SIDE_BY_SIDE),
    )
    with ExitStack() as stack:
        playing = []
        for chosen, at_a_time in kinds:
            if chosen:
                batch = Batch(stack.enter_context(Node()), at_a_time)
                batch.begin([(row, cells_of(row)) for row in chosen])
                stack.callback(batch.close)
                playing += [gevent.spawn(note, batch, row.id, folder) for row in chosen]
        played = gevent.spawn(gevent.joinall, playing, raise_error=True)
        gevent.wait(
            [played, gevent.spawn(FileObjectPosix(sys.stdin.fileno(), 'rb', closefd=False).read)], count=1
        )
        if played.ready():
            played.get()


def note(batch: Batch, row: str, folder: Path) -> None:
    """Wait for a row, and leave its results in a file that is there as a whole or not at all."""
    results = [result.as_json() for result in batch.results(row)]
    unfinished = folder / f'{row}.unfinished'
    unfinished.write_text(json.dumps(results))
    unfinished.rename(folder / f'{row}.json')


if __name__ == '__main__':
    main(Path(sys.argv[1]), [ROWS[name] for name in sys.argv[2:]])
