"""concurrent.futures.ProcessPoolExecutor: the same calls in child processes, without any broker."""

from .base import Peer, Program
from .counting import COUNTING

#: All are submitted at once, as `Executor.map` does it.
MAIN = """\
import multiprocessing, time
from concurrent.futures import ProcessPoolExecutor
from payload import PAYLOAD
from tasks import work

if __name__ == '__main__':
    payload = PAYLOAD | {'sent': 0.0}
    with ProcessPoolExecutor(CHILDREN) as executor:
        futures = [executor.submit(work, payload) for _ in range({messages})]
        for future in futures:
            future.result()
        time.sleep(3600)
"""


def pool_of(children: int) -> Peer:
    """The executor with so many workers."""
    return Peer(
        'ProcessPoolExecutor',
        f'max_workers {children}, no broker: nothing is received, acknowledged or safe',
        ('https://docs.python.org/3/library/concurrent.futures.html#processpoolexecutor',),
        'processes',
        consumer=Program({'main.py': MAIN.replace('CHILDREN', str(children)), 'tasks.py': COUNTING}),
        per_s=8_000,
    )
