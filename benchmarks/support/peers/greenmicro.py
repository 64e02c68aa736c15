"""greenmicro, of this checkout."""

from .base import ID, PREFETCH, PUBLISHERS, Envelope, Peer, Program, Publishing
from .counting import COUNTING

MAIN = """\
import logging
from greenmicro.runner import Runner
from greenmicro.routes import Route
from greenmicro.amqp.entrypoints import EventListener
from greenmicro.amqp.dependencies import Producer

config = {config}
logging.basicConfig(level=logging.INFO, format='%(message)s')
route = Route('tasks.{target}', dependencies={dependencies})
entrypoints = [EventListener('source', 'event', route=route, queue='greenmicro')]
if __name__ == '__main__':
    runner = Runner(entrypoints, config)
    runner.start()
"""

CPU = f"""\
{COUNTING}
def compute(payload):
    end = time.thread_time() + 0.01
    while time.thread_time() < end:
        sum(range(200))
    work(payload)
"""

#: One of PUBLISHERS messages begins each publisher.
PUBLISH = f"""\
{COUNTING}
from payload import PAYLOAD

def publish(payload, producer):
    for _ in range({{messages}} // {PUBLISHERS}):
        producer('event', PAYLOAD)
        DONE[0] += 1
"""

DOCS = ('README.md#config',)


def program(tasks: str, target: str, dependencies: str = '{}', **config: object) -> Program:
    """Make a service with one listener on the queue `greenmicro`."""
    full = {'AMQP_URI': '{uri}', 'SERVICE_NAME': 'greenmicro', 'PREFETCH': PREFETCH, **config}
    main = MAIN.replace('{config}', repr(full)).replace('{target}', target)
    return Program({'main.py': main.replace('{dependencies}', dependencies), 'tasks.py': tasks})


#: As its Producer writes it.
ENVELOPE = Envelope(
    'greenmicro',
    properties={
        'content_type': 'application/json',
        'content_encoding': 'utf-8',
        'priority': 0,
        'message_id': ID,
        'timestamp': 1_700_000_000,
    },
)

THREAD = Peer(
    'greenmicro thread',
    f'MAX_WORKERS {PREFETCH}, PREFETCH {PREFETCH}',
    DOCS,
    'threads',
    consumer=program(COUNTING, 'work', WORKER_MODE='thread', MAX_WORKERS=PREFETCH),
    envelope=ENVELOPE,
    per_s=30_000,
    publishing=Publishing(
        program(PUBLISH, 'publish', "{'producer': Producer()}", WORKER_MODE='thread', MAX_WORKERS=PUBLISHERS),
        per_s=12_000,
        exchange='greenmicro.events',
        start=ENVELOPE,
    ),
)


def in_processes(children: int) -> Peer:
    """Process mode with so many children."""
    return Peer(
        'greenmicro process',
        f'MAX_WORKERS {children}, PREFETCH {PREFETCH}',
        DOCS,
        'processes',
        consumer=program(COUNTING, 'work', WORKER_MODE='process', MAX_WORKERS=children),
        envelope=ENVELOPE,
        per_s=7_000,
    )


def computing(children: int) -> Peer:
    """The same with a target that computes for 10 ms of its thread's own clock."""
    return Peer(
        f'{children} children',
        f'MAX_WORKERS {children}',
        DOCS,
        'processes',
        consumer=program(CPU, 'compute', WORKER_MODE='process', MAX_WORKERS=children),
        envelope=ENVELOPE,
        per_s=90 * children,
    )
