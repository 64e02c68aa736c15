"""The target that all peers call, as text: it counts, and notes how late a message is that tells its time.

Each process counts in eight bytes of a file that it maps, at 0.1 us a call and without a system call, so that
the count is seen from outside while it runs. A process that is forked after the import gets its own file. Of
threads no count is lost: CPython does not switch between reading and writing in that line, and a count that
is short ends the benchmark.
"""

import array
from pathlib import Path

#: How many latencies a process keeps, those of the last messages.
MOST_LATE = 100_000

COUNTING = """\
import itertools, mmap, os, time

def _map(name, size):
    with open(os.path.join('{folder}', name), 'w+b') as file:
        file.truncate(size)
        return memoryview(mmap.mmap(file.fileno(), size))

def _begin():
    global DONE, LATE, PLACE
    DONE = _map(str(os.getpid()), 8).cast('Q')
    LATE = _map(f'../late-{os.getpid()}', 8 * MOST_LATE).cast('d')
    PLACE = itertools.count()

_begin()
os.register_at_fork(after_in_child=_begin)

def work(payload):
    DONE[0] += 1
    sent = payload['sent']
    if sent:
        _note(sent)

def _note(sent):
    if sent > 0:
        LATE[next(PLACE) % MOST_LATE] = time.monotonic() - sent
    else:
        with open(os.path.join('{folder}', '..', 'held'), 'w') as file:
            file.write('.')
        while True:
            time.sleep(0.01)
""".replace('MOST_LATE', str(MOST_LATE))


def read_late(folder: Path) -> list[float]:
    """What the processes of a service have noted, in seconds, in order.

    Args:
        folder: The service's.
    """
    late = array.array('d')
    for file in folder.glob('late-*'):
        late.frombytes(file.read_bytes())
    return sorted(filter(None, late))
