"""FastStream on aio-pika: one process on an asyncio loop, uvloop's, which its command line takes as well."""

from .base import ID, PREFETCH, PUBLISHERS, Envelope, Environment, Peer, Program, Publishing
from .counting import COUNTING

ENVIRONMENT = Environment('faststream', ('faststream[rabbit]==0.7.8', 'uvloop==0.23.0'), 'faststream.rabbit')

#: Without its log line per message, and without the checking of types.
MAIN = f"""\
{COUNTING}
import uvloop
from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

broker = RabbitBroker(
    '{{uri}}', default_channel=Channel(prefetch_count={PREFETCH}), apply_types=False, logger=None
)

@broker.subscriber(RabbitQueue('faststream', durable=True), ack_policy=AckPolicy.NACK_ON_ERROR)
async def handle(payload):
    work(payload)

if __name__ == '__main__':
    uvloop.run(FastStream(broker).run())
"""

#: Confirms are its default; all tasks share the channel.
PUBLISH = f"""\
{COUNTING}
import asyncio, uvloop
from faststream.rabbit import RabbitBroker
from payload import PAYLOAD

async def publish(broker):
    for _ in range({{messages}} // {PUBLISHERS}):
        await broker.publish(PAYLOAD, 'published', persist=True)
        DONE[0] += 1

async def main():
    async with RabbitBroker('{{uri}}', logger=None, apply_types=False) as broker:
        await asyncio.gather(*[publish(broker) for _ in range({PUBLISHERS})])
        await asyncio.sleep(3600)

uvloop.run(main())
"""

FASTSTREAM = Peer(
    'FastStream',
    f'prefetch {PREFETCH}, NACK_ON_ERROR, uvloop, no types checked, no log; publishes with confirms',
    (
        'https://faststream.ag2.ai/latest/rabbit/ack/',
        'https://faststream.ag2.ai/latest/rabbit/examples/base/',
    ),
    'threads',
    environment=ENVIRONMENT,
    consumer=Program({'main.py': MAIN}),
    #: As its broker's `publish` writes it.
    envelope=Envelope(
        'faststream',
        properties={
            'app_id': 'faststream-0.7.8',
            'content_type': 'application/json',
            'correlation_id': ID,
            'message_id': ID,
            'priority': 0,
            'timestamp': 1_700_000_000,
        },
    ),
    per_s=4_000,
    publishing=Publishing(Program({'main.py': PUBLISH}), per_s=3_000),
)
