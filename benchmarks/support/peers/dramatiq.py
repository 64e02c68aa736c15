"""dramatiq 2 on pika: worker threads, greenlets, processes. It acks a message when its actor has ended."""

from .base import ID, PREFETCH, PUBLISHERS, Envelope, Environment, Peer, Program, Publishing
from .counting import COUNTING

ENVIRONMENT = Environment('dramatiq', ('dramatiq[rabbitmq]==2.2.1', 'gevent==26.9.0'), 'dramatiq')

#: The default middleware, with its retries.
TASKS = f"""\
{COUNTING}
import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

dramatiq.set_broker(RabbitmqBroker(url='{{uri}}', confirm_delivery=True))

@dramatiq.actor(queue_name='dramatiq')
def handle(payload):
    work(payload)
"""

#: Each thread has a connection of its own.
PUBLISH = f"""\
import threading, time
from payload import PAYLOAD
from tasks import DONE, handle

def publish():
    for _ in range({{messages}} // {PUBLISHERS}):
        handle.send(PAYLOAD)
        DONE[0] += 1

for _ in range({PUBLISHERS}):
    threading.Thread(target=publish, daemon=True).start()
time.sleep(3600)
"""

ARGUMENTS = {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dramatiq.XQ'}

#: As `send` writes it.
ENVELOPE = Envelope(
    'dramatiq',
    arguments=ARGUMENTS,
    wrap=lambda payload: {
        'queue_name': 'dramatiq',
        'actor_name': 'handle',
        'args': [payload],
        'kwargs': {},
        'options': {},
        'message_id': ID,
        'message_timestamp': 1_700_000_000_000,
    },
)

DOCS = (
    'https://dramatiq.io/advanced.html#message-prefetch',
    'https://dramatiq.io/guide.html#workers',
    'https://dramatiq.io/reference.html#dramatiq.brokers.rabbitmq.RabbitmqBroker',
)


def worker(command: tuple[str, ...], processes: int, threads: int) -> Program:
    """The worker, by its own command."""
    return Program(
        {'tasks.py': TASKS},
        (*command, 'tasks', '--processes', str(processes), '--threads', str(threads)),
        {'dramatiq_queue_prefetch': str(PREFETCH)},
    )


def publishing(head: str, per_s: int) -> Publishing:
    """The publishing program, with its first lines."""
    program = Program({'tasks.py': TASKS, 'main.py': head + PUBLISH})
    return Publishing(program, per_s, queue='dramatiq', arguments=ARGUMENTS)


THREADS = Peer(
    'dramatiq threads',
    f'-p 1 -t 8, prefetch {PREFETCH}; confirm_delivery',
    DOCS,
    'threads',
    environment=ENVIRONMENT,
    consumer=worker(('-m', 'dramatiq'), 1, 8),
    envelope=ENVELOPE,
    per_s=4_500,
    publishing=publishing('', 1_500),
)

GEVENT = Peer(
    'dramatiq gevent',
    f'dramatiq-gevent -p 1 -t {PREFETCH}, prefetch {PREFETCH}; confirm_delivery',
    DOCS,
    'threads',
    environment=ENVIRONMENT,
    consumer=worker(('{bin}/dramatiq-gevent',), 1, PREFETCH),
    envelope=ENVELOPE,
    per_s=7_000,
    publishing=publishing('from gevent import monkey\nmonkey.patch_all()\n', 2_000),
)


def in_processes(processes: int) -> Peer:
    """Several processes of 8 threads, its default."""
    return Peer(
        'dramatiq processes',
        f'-p {processes} -t 8, prefetch {PREFETCH} each',
        DOCS,
        'processes',
        environment=ENVIRONMENT,
        consumer=worker(('-m', 'dramatiq'), processes, 8),
        envelope=ENVELOPE,
        per_s=6_000,
    )
