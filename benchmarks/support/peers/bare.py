"""The bare amqp client under gevent: the least that a consumer, and a publisher, on it costs."""

from .base import PREFETCH, PUBLISHERS, Envelope, Peer, Program, Publishing
from .counting import COUNTING
from .greenmicro import ENVELOPE

HEAD = f"""\
from gevent import monkey
monkey.patch_all()
{COUNTING}
import amqp
from urllib.parse import urlsplit

uri = urlsplit('{{uri}}')
connection = amqp.Connection(f'{{uri.hostname}}:{{uri.port}}', heartbeat=0, confirm_publish=True)
connection.connect()
channel = connection.channel()
"""

CONSUME = """\
channel.basic_qos(0, PREFETCH, False)

def on_message(message):
    DONE[0] += 1
    SETTLE

channel.basic_consume('QUEUE', callback=on_message, no_ack=NO_ACK)
while True:
    connection.drain_events()
"""

#: `confirm_publish` makes of it a publish that returns when the broker has confirmed it.
PUBLISH = """\
import json, uuid
from payload import PAYLOAD

for _ in range({messages}):
    properties = {
        'content_type': 'application/json', 'content_encoding': 'utf-8', 'delivery_mode': 2,
        'message_id': str(uuid.uuid4()), 'timestamp': int(time.time()),
    }
    message = amqp.Message(json.dumps(PAYLOAD), **properties)
    channel.basic_publish(message, 'bare.events', 'event')
    DONE[0] += 1
time.sleep(3600)
"""

#: As many in flight as others have publishers; by amqp's own means, which tell of confirms by their tags.
PIPELINED = """\
import json, uuid
from payload import PAYLOAD

flying = set()

def on_ack(tag, multiple):
    landed = {other for other in flying if other <= tag} if multiple else {tag}
    flying.difference_update(landed)
    DONE[0] += len(landed)

channel.confirm_select()
channel.events['basic_ack'].add(on_ack)
for tag in range(1, {messages} + 1):
    properties = {
        'content_type': 'application/json', 'content_encoding': 'utf-8', 'delivery_mode': 2,
        'message_id': str(uuid.uuid4()), 'timestamp': int(time.time()),
    }
    flying.add(tag)
    channel._basic_publish(amqp.Message(json.dumps(PAYLOAD), **properties), 'bare.events', 'event')
    while len(flying) >= PUBLISHERS:
        connection.drain_events()
while flying:
    connection.drain_events()
time.sleep(3600)
""".replace('PUBLISHERS', str(PUBLISHERS))

#: Half of the prefetch, so that the broker is not left waiting.
BATCH = PREFETCH // 2
QUEUE = 'bare'
DOCS = ('https://docs.celeryq.dev/projects/amqp/en/stable/',)


def loop(name: str, settings: str, settle: str, no_ack: bool = False) -> Peer:
    """A loop that reads, counts and settles; it does not even decode the body."""
    text = CONSUME.replace('PREFETCH', str(PREFETCH)).replace('QUEUE', QUEUE)
    text = text.replace('SETTLE', settle).replace('NO_ACK', str(no_ack))
    return Peer(
        name,
        settings,
        DOCS,
        'bare',
        consumer=Program({'main.py': HEAD + text}),
        envelope=Envelope(QUEUE, properties=ENVELOPE.properties),
        per_s=11_000,
    )


ACK_EACH = loop(
    'bare, ack each',
    f'amqp and gevent, prefetch {PREFETCH}',
    'channel.basic_ack(message.delivery_tag)',
)
ACKS_BATCHED = loop(
    'bare, acks batched',
    f'one ack for {BATCH}',
    f'if DONE[0] % {BATCH} == 0: channel.basic_ack(message.delivery_tag, multiple=True)',
)
NO_ACK = loop('bare, no ack', 'no_ack: no prefetch holds, and nothing is safe', 'pass', no_ack=True)

ONE_AT_A_TIME = Peer(
    'bare, one at a time',
    'amqp and gevent, confirm_publish: each publish waits for its confirm',
    DOCS,
    'bare',
    publishing=Publishing(Program({'main.py': HEAD + PUBLISH}), per_s=1_500, exchange='bare.events'),
)

IN_FLIGHT = Peer(
    'bare, pipelined',
    f'amqp and gevent, {PUBLISHERS} in flight; nobody is told of a confirm, and none is waited for',
    DOCS,
    'bare',
    publishing=Publishing(Program({'main.py': HEAD + PIPELINED}), per_s=6_000, exchange='bare.events'),
)
