"""The frameworks that are compared, each written, run and fed as its documentation has it."""

from .bare import IN_FLIGHT, ONE_AT_A_TIME
from .base import Peer
from .celery import GEVENT as CELERY_GEVENT
from .celery import prefork
from .dramatiq import GEVENT as DRAMATIQ_GEVENT
from .dramatiq import THREADS as DRAMATIQ_THREADS
from .dramatiq import in_processes as dramatiq_processes
from .executor import pool_of
from .faststream import FASTSTREAM
from .greenmicro import THREAD
from .greenmicro import in_processes as greenmicro_process
from .nameko import NAMEKO

#: How many child processes each of the process modes has.
CHILDREN = 2

#: By the name that they are chosen by.
PEERS: dict[str, tuple[Peer, ...]] = {
    'greenmicro': (THREAD, greenmicro_process(CHILDREN)),
    'nameko': (NAMEKO,),
    'celery': (CELERY_GEVENT, prefork(CHILDREN)),
    'dramatiq': (DRAMATIQ_THREADS, DRAMATIQ_GEVENT, dramatiq_processes(CHILDREN)),
    'faststream': (FASTSTREAM,),
    'executor': (pool_of(CHILDREN),),
    'bare': (ONE_AT_A_TIME, IN_FLIGHT),
}
