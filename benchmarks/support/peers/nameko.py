"""nameko 2.14: an event handler, and the event dispatcher."""

from .base import PREFETCH, PUBLISHERS, Envelope, Environment, Peer, Program, Publishing
from .counting import COUNTING

#: nameko imports pkg_resources, which later setuptools have no more.
ENVIRONMENT = Environment('nameko', ('nameko==2.14.1', 'setuptools<81'), 'nameko.events')

#: As `nameko run` does it.
MAIN = """\
import warnings
warnings.simplefilter('ignore')
import eventlet
eventlet.monkey_patch()
import logging, signal
from nameko.runners import ServiceRunner
from service import Service

logging.basicConfig(level=logging.INFO, format='%(message)s')
runner = ServiceRunner({'AMQP_URI': '{uri}', 'max_workers': WORKERS})
runner.add_service(Service)
signal.signal(signal.SIGTERM, lambda *_: eventlet.spawn_n(runner.stop))
runner.start()
runner.wait()
"""

#: `requeue_on_error`, or it would ack an event whose handler has failed.
CONSUME = f"""\
{COUNTING}
from nameko.events import event_handler

class Service:
    name = 'nameko'

    @event_handler('source', 'event', requeue_on_error=True)
    def handle(self, payload):
        work(payload)
"""

#: Confirms are its dispatcher's default. Its publishers take connections from kombu's pool, of 10 by default.
PUBLISH = f"""\
{COUNTING}
from kombu import pools
from nameko.events import EventDispatcher, event_handler
from payload import PAYLOAD

pools.set_limit({PUBLISHERS})

class Service:
    name = 'nameko'
    dispatch = EventDispatcher()

    @event_handler('source', 'event', requeue_on_error=True)
    def handle(self, payload):
        for _ in range({{messages}} // {PUBLISHERS}):
            self.dispatch('event', PAYLOAD)
            DONE[0] += 1
"""

#: As its dispatcher writes it.
ENVELOPE = Envelope(
    'evt-source-event--nameko.handle',
    properties={'content_type': 'application/json', 'content_encoding': 'utf-8', 'priority': 0},
    headers={'nameko.call_id_stack': ['standalone_rpc_proxy.call.0e5b9a0b-6f3c-4d7c-9a53-d0b0f3c5a1f1']},
)


def program(service: str, workers: int) -> Program:
    """Make one of the two programs."""
    return Program({'main.py': MAIN.replace('WORKERS', str(workers)), 'service.py': service})


NAMEKO = Peer(
    'nameko',
    f'max_workers {PREFETCH} (which is its prefetch), requeue_on_error; dispatcher with confirms',
    (
        'https://nameko.readthedocs.io/en/stable/built_in_extensions.html#events-pub-sub',
        'https://nameko.readthedocs.io/en/stable/key_concepts.html#concurrency',
    ),
    'threads',
    environment=ENVIRONMENT,
    consumer=program(CONSUME, PREFETCH),
    envelope=ENVELOPE,
    per_s=3_000,
    publishing=Publishing(
        program(PUBLISH, PUBLISHERS),
        per_s=1_500,
        exchange='nameko.events',
        start=ENVELOPE,
    ),
)
