"""Targets that publish: whatever happens to the link, no input is done before its output is safe."""

import os
import signal
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest

from tests.acceptance.conftest import LISTENER, MODES, Write
from tests.support.amqp_client import Client
from tests.support.ledger import Ledger
from tests.support.patience import PATIENCE_S
from tests.support.proxy import Proxy
from tests.support.rabbitmq import Node

QUEUE = 'evt-source-event--service.work'
ENTRYPOINTS = LISTENER.replace("'tasks.work'", "'tasks.work', {'producer': Producer()}")
PUBLISHING = "dependencies['producer']('out', {'id': payload['id']}, mandatory=True)"


@pytest.fixture
def proxy(rabbitmq: Node) -> Iterator[Proxy]:
    with Proxy(rabbitmq.port) as made:
        yield made


@pytest.fixture
def outputs(amqp_client: Client) -> str:
    """The queue of what the service publishes."""
    amqp_client.declare_exchange('service.events')
    amqp_client.declare_queue('outputs')
    amqp_client.bind('outputs', 'service.events', '#')
    return 'outputs'


@pytest.mark.parametrize('mode', MODES[::2])
def test_the_link_is_reset_while_targets_publish(
    mode: str,
    write: Write,
    ledger: Ledger,
    amqp_uri: str,
    amqp_client: Client,
    proxy: Proxy,
    outputs: str,
) -> None:
    """No target fails by it, each input is done, and each has its output."""
    uri = f'amqp://guest:guest@127.0.0.1:{proxy.port}{urlsplit(amqp_uri).path}'
    count = 300
    with write(uri, mode, tasks=ledger.tasks(PUBLISHING), entrypoints=ENTRYPOINTS) as program:
        program.wait_for('ready')
        amqp_client.publish_many('source.events', 'event', ({'id': number} for number in range(count)))
        for finished in (50, 120, 190):
            ledger.wait_for('F', finished)
            proxy.set(now='rst')
        ledger.wait_for('F', count)
        assert program.stop() == 0
        assert program.output.count('lost') >= 3
    assert amqp_client.queue_counts(QUEUE) == (0, 0)
    ready, _ = amqp_client.queue_counts(outputs)
    found = {message.payload['id'] for message in amqp_client.take(outputs, ready)}
    assert found == set(range(count))
    with pytest.raises(LookupError):
        amqp_client.queue_counts(f'{QUEUE}.dead')


FAN_OUT = """\
import gevent

def work(payload, producer):
    sends = [gevent.spawn(producer, 'out', {'id': number}, mandatory=True) for number in range(10_000)]
    gevent.joinall(sends, raise_error=True)
"""


def test_ten_thousand_publishes_at_once(
    write: Write, amqp_uri: str, amqp_client: Client, rabbitmq: Node, outputs: str
) -> None:
    """All of one target: each arrives once, on one channel, and in a bounded amount of memory."""
    with write(amqp_uri, tasks=FAN_OUT, entrypoints=ENTRYPOINTS) as program:
        program.wait_for('ready')
        channels = int(rabbitmq.eval('length(rabbit_channel:list()).'))
        amqp_client.publish('source.events', 'event', {})
        amqp_client.wait_for_counts(outputs, ready=10_000)
        assert int(rabbitmq.eval('length(rabbit_channel:list()).')) <= channels
        memory = psutil.Process(program.pid).memory_info().rss
        assert program.stop() == 0
    # A greenlet, its payload, and a message in flight: 10 kB each [110 MB seen in all].
    assert memory < 250e6
    assert amqp_client.queue_counts(outputs)[0] == 10_000
    assert amqp_client.queue_counts(QUEUE) == (0, 0)


def test_children_share_no_socket_with_the_broker(
    write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client, outputs: str
) -> None:
    """Also those that were started when the connections were long there, and published on."""
    with write(amqp_uri, 'process', tasks=ledger.tasks(PUBLISHING), entrypoints=ENTRYPOINTS) as program:
        program.wait_for('ready')
        amqp_client.publish('source.events', 'event', {'id': 1})
        ledger.wait_for('F', 1)
        first = program.children()
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_S
        while len(set(program.children()) - set(first)) < len(first):
            assert time.monotonic() < deadline, 'the children were not replaced'
            time.sleep(0.01)
        amqp_client.publish('source.events', 'event', {'id': 2})
        ledger.wait_for('F', 2)
        assert len(psutil.Process(program.pid).net_connections('tcp')) == 2
        assert [psutil.Process(pid).net_connections('tcp') for pid in program.children()] == [[]] * len(first)
        assert program.stop() == 0
    assert amqp_client.queue_counts(outputs)[0] == 2
