"""The broker and the client that the other tests rely on."""

import signal
import time
from pathlib import Path

import gevent
import pytest
from pika.exceptions import UnroutableError

from tests.support.amqp_client import Client
from tests.support.node_files import SERVER_VARIABLE
from tests.support.patience import PATIENCE_S
from tests.support.program import Program
from tests.support.rabbitmq import Node
from tests.support.raw_amqp import RawPublisher, RefusedError

RUN_A_NODE = """
import time
from tests.support.rabbitmq import Node

node = Node()
node.start()
print('started')
time.sleep(600)
"""


def test_vhosts_are_isolated(rabbitmq, amqp_client):
    """What is in one vhost is not in another."""
    amqp_client.declare_queue('q')
    rabbitmq.create_vhost('other/vhost é')
    with Client(rabbitmq.uri('other/vhost é')) as other, pytest.raises(LookupError, match='no queue'):
        other.queue_counts('q')
    rabbitmq.delete_vhost('other/vhost é')


def test_every_test_has_a_fresh_vhost(rabbitmq, vhost):
    """A vhost comes empty, whatever other tests declared."""
    assert rabbitmq.queues(vhost) == {}


@pytest.mark.parametrize('kind', ['classic', 'quorum'])
def test_counts_are_of_this_moment(rabbitmq, vhost, amqp_client, kind):
    """Ready and unacked are seen at once, for classic and quorum queues."""
    name = f'q é {kind}'
    amqp_client.declare_queue(name, arguments={'x-queue-type': kind})
    for number in range(5):
        amqp_client.publish('', name, number)
    amqp_client.take(name, 2, ack=False)
    counts = rabbitmq.queues(vhost)[name]
    assert (counts.ready, counts.unacked) == (3, 2)


def test_counts_while_a_queue_is_being_declared(rabbitmq, vhost, amqp_client):
    """A quorum queue is listed before it can answer; it is waited for."""

    def declare():
        for number in range(10):
            amqp_client.declare_queue(f'q{number}', arguments={'x-queue-type': 'quorum'})

    declaring = gevent.spawn(declare)
    while not declaring.ready():
        rabbitmq.queues(vhost)
    assert len(rabbitmq.queues(vhost)) == 10


def test_the_client_publishes_and_reads(amqp_client):
    """Payload, properties and routing arrive as they were sent."""
    amqp_client.declare_exchange('source.events')
    queue = amqp_client.declare_queue()
    amqp_client.bind(queue, 'source.events', 'order.*')
    amqp_client.publish('source.events', 'order.new', {'id': 1}, message_id='m1', headers={'a': 1})
    message = amqp_client.get(queue)
    assert (message.payload, message.headers, message.properties.message_id) == ({'id': 1}, {'a': 1}, 'm1')
    assert (message.exchange, message.routing_key, message.redelivered) == (
        'source.events',
        'order.new',
        False,
    )
    assert amqp_client.queue_counts(queue) == (0, 0)


def test_the_client_publishes_many(amqp_client):
    """A stream of messages is in the queue, in order, when publish_many returns."""
    amqp_client.declare_queue('q')
    assert amqp_client.publish_many('', 'q', range(1000)) == 1000
    amqp_client.wait_for_counts('q', ready=1000, consumers=0)
    assert [message.payload for message in amqp_client.take('q', 990)] == list(range(990))
    assert amqp_client.purge('q') == 10


def test_an_unroutable_message_is_an_error(amqp_client):
    """Nothing is published into the void, one by one or as a stream."""
    with pytest.raises(UnroutableError):
        amqp_client.publish('', 'nowhere', 1)
    with pytest.raises(UnroutableError):
        amqp_client.publish_many('', 'nowhere', [1, 2])


def test_missing_messages_are_counted(amqp_client):
    """Waiting in vain says how many came."""
    amqp_client.declare_queue('q')
    amqp_client.publish('', 'q', 1)
    with pytest.raises(TimeoutError, match='1 of 2'):
        amqp_client.take('q', 2, timeout_s=0.1)


def test_ctl_speaks_to_this_node(rabbitmq):
    """rabbitmqctl works, and its errors are raised with their text."""
    assert 'guest' in rabbitmq.ctl('list_users')
    with pytest.raises(RuntimeError, match='failed with exit code'):
        rabbitmq.ctl('no_such_command')


def test_a_node_that_does_not_come_up_says_why(tmp_path, monkeypatch):
    """What it said on its console is raised; another server than the machine's is named by a variable."""
    server = tmp_path / 'sbin' / 'rabbitmq-server'
    for folder in (server.parent, tmp_path / 'plugins'):
        folder.mkdir()
    server.write_text('#!/bin/sh\necho no licence today\nexit 1\n')
    server.chmod(0o755)
    monkeypatch.setenv(SERVER_VARIABLE, str(server))
    with pytest.raises(RuntimeError, match=r'did not come up(.|\n)*no licence today'), Node():
        pass


def test_a_node_knows_its_version(rabbitmq):
    """As numbers, so that it can be compared."""
    assert (3, 10) < rabbitmq.version < (5,)


def test_a_failing_expression_is_an_error(rabbitmq):
    """What Erlang says of a wrong expression is raised."""
    with pytest.raises(RuntimeError, match='badarith'):
        rabbitmq.eval('1 / 0.')


def test_a_node_dies_with_the_process_that_started_it(tmp_path):
    """SIGKILL to a test run leaves neither broker nor epmd nor data behind."""
    (tmp_path / 'main.py').write_text(RUN_A_NODE)
    environment = {'PYTHONPATH': str(Path(__file__).parent.parent), 'TMPDIR': str(tmp_path)}
    with Program(tmp_path, environment=environment) as program:
        program.wait_for('started')
        program.signal(signal.SIGKILL)
        program.wait()
        deadline = time.monotonic() + PATIENCE_S
        while program.survivors() or list(tmp_path.glob('rabbitmq-*')):
            assert time.monotonic() < deadline, (program.survivors(), list(tmp_path.iterdir()))
            time.sleep(0.02)


def test_a_stream_of_packed_frames(amqp_uri, amqp_client):
    """All are confirmed and in the queue, in order, when it returns; what no queue gets is an error."""
    amqp_client.declare_queue('q')
    with RawPublisher(amqp_uri) as publisher:
        publisher.stream('', 'q', b'\x00\x00', (b'%d' % number for number in range(2500)))
        assert publisher.publish('', 'q', b'\x00\x00', b'2500')
        publisher.stream('', 'q', b'\x00\x00', [b'2501'])
        with pytest.raises(RefusedError):
            publisher.stream('', 'nowhere', b'\x00\x00', [b'lost'])
    assert [int(message.body) for message in amqp_client.take('q', 2502)] == list(range(2502))
