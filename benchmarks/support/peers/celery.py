"""celery 5 on pyamqp: its gevent pool and its prefork pool."""

from .base import ID, PREFETCH, PUBLISHERS, SENT, Envelope, Environment, Peer, Program, Publishing
from .counting import COUNTING

ENVIRONMENT = Environment('celery', ('celery==5.7.0', 'gevent==26.9.0', 'setuptools<81'), 'celery')

#: What its documentation has for tasks that may not be lost, and for short ones: late acks, also where a
#: child dies; nothing kept of results; a large prefetch; as many connections as greenlets publish.
APP = """\
import celery

app = celery.Celery('service', broker='{uri}')
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_default_queue='celery_work',
    worker_prefetch_multiplier=MULTIPLIER,
    broker_transport_options={'confirm_publish': True},
    broker_pool_limit=PUBLISHERS,
    broker_connection_retry_on_startup=True,
)
""".replace('PUBLISHERS', str(PUBLISHERS))

TASKS = f"""\
{COUNTING}
{APP}
@app.task(name='tasks.handle')
def handle(payload):
    work(payload)
"""

PUBLISH = f"""\
from gevent import monkey
monkey.patch_all()
import gevent
from payload import PAYLOAD
from tasks import DONE, handle

def publish():
    for _ in range({{messages}} // {PUBLISHERS}):
        handle.apply_async((PAYLOAD,))
        DONE[0] += 1

gevent.joinall([gevent.spawn(publish) for _ in range({PUBLISHERS})], raise_error=True)
gevent.sleep(3600)
"""

#: As its client writes it.
ENVELOPE = Envelope(
    'celery_work',
    properties={
        'content_type': 'application/json',
        'content_encoding': 'utf-8',
        'priority': 0,
        'correlation_id': ID,
        'reply_to': '5f2b3c1d-7a5e-3c43-a6ba-0d7d8ed6a0b1',
    },
    headers={
        'lang': 'py',
        'task': 'tasks.handle',
        'id': ID,
        'shadow': None,
        'eta': None,
        'expires': None,
        'group': None,
        'group_index': None,
        'retries': 0,
        'timelimit': [None, None],
        'root_id': ID,
        'parent_id': None,
        'argsrepr': f"({{'sent': {SENT}, 'id': 1234567, 'kind': 'order_placed', 'customer': 'c-00012345', "
        "'items': [{...}, {...}], 'total': '42.50'},)",
        'kwargsrepr': '{}',
        'origin': 'gen4242@host',
        'ignore_result': True,
        'replaced_task_nesting': 0,
        'stamped_headers': None,
        'stamps': {},
    },
    wrap=lambda payload: [
        [payload],
        {},
        {'callbacks': None, 'errbacks': None, 'chain': None, 'chord': None},
    ],
)

DOCS = (
    'https://docs.celeryq.dev/en/stable/userguide/configuration.html#task-acks-late',
    'https://docs.celeryq.dev/en/stable/userguide/optimizing.html#prefetch-limits',
    'https://docs.celeryq.dev/en/stable/userguide/concurrency/gevent.html',
)
#: Off: what it tells other workers and monitors, which costs and helps no message.
QUIET = ('--without-gossip', '--without-mingle', '--without-heartbeat', '--loglevel', 'WARNING')


def worker(pool: str, concurrency: int) -> Program:
    """The worker, by its own command."""
    multiplier = PREFETCH // concurrency
    return Program(
        {'tasks.py': TASKS.replace('MULTIPLIER', str(multiplier))},
        ('-m', 'celery', '-A', 'tasks', 'worker', '-P', pool, '-c', str(concurrency), *QUIET),
    )


GEVENT = Peer(
    'celery gevent',
    f'-P gevent -c {PREFETCH}, prefetch {PREFETCH}, acks_late; confirm_publish, pool of {PUBLISHERS}',
    DOCS,
    'threads',
    environment=ENVIRONMENT,
    consumer=worker('gevent', PREFETCH),
    envelope=ENVELOPE,
    per_s=2_500,
    publishing=Publishing(
        Program({'tasks.py': TASKS.replace('MULTIPLIER', '1'), 'main.py': PUBLISH}),
        per_s=1_000,
        queue='celery_work',
    ),
)


def prefork(children: int) -> Peer:
    """The prefork pool with so many children."""
    return Peer(
        'celery prefork',
        f'-P prefork -c {children}, prefetch {PREFETCH}, acks_late, reject_on_worker_lost',
        DOCS,
        'processes',
        environment=ENVIRONMENT,
        consumer=worker('prefork', children),
        envelope=ENVELOPE,
        per_s=1_500,
    )
