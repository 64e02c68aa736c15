"""The broker restarted under load: nothing is lost, and it goes on by itself."""

import itertools
from collections.abc import Iterator

import gevent
import pika.exceptions
import pytest

from tests.acceptance.conftest import Write
from tests.support.amqp_client import Client
from tests.support.ledger import Ledger
from tests.support.rabbitmq import Node

BEFORE = 200
AFTER = 100


@pytest.fixture(scope='module')
def node() -> Iterator[Node]:
    """A node of this file's own, to restart."""
    with Node() as node:
        yield node


class Load:
    """Publishes numbered messages until it is told to stop, and keeps the ids that were confirmed."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.confirmed: list[str] = []
        self.stopped = False
        self.greenlet = gevent.spawn(self.run)

    def run(self) -> None:
        ids = map(str, itertools.count())
        while not self.stopped:
            try:
                with Client(self.uri) as client:
                    while not self.stopped:
                        name = next(ids)
                        client.publish('source.events', 'event', {'id': name}, message_id=name)
                        self.confirmed.append(name)
            except (pika.exceptions.AMQPError, OSError):
                gevent.sleep(0.02)

    def wait_for(self, count: int) -> None:
        while len(self.confirmed) < count:
            gevent.sleep(0.01)
            assert not self.greenlet.dead


# All modes, both types of queues, and the figures: tests/faults, rows B1 and B2.
@pytest.mark.parametrize('mode', ['thread', 'greedy_process'])
@pytest.mark.parametrize('how', ['terminated', 'killed'])
def test_a_broker_restarted_under_load(how: str, mode: str, write: Write, ledger: Ledger, node: Node) -> None:
    """Every confirmed message is run once, those from before, from between and from after."""
    name = f'{how}-{mode}'
    node.create_vhost(name)
    uri = node.uri(name)
    with write(uri, mode, tasks=ledger.tasks('time.sleep(0.002)')) as program:
        program.wait_for('ready')
        load = Load(uri)
        load.wait_for(BEFORE)
        if how == 'killed':
            node.kill()
        else:
            node.stop()
        node.start()
        seen = len(load.confirmed)
        load.wait_for(seen + AFTER)
        load.stopped = True
        load.greenlet.join()
        ledger.wait_for('F', len(load.confirmed))
        assert program.stop() == 0
        assert not program.survivors()
    assert not set(load.confirmed) - set(ledger.of('F')), 'none is lost'
    twice = {one: count for one, count in ledger.of('S').items() if count > 1}
    assert not twice, 'with ids, none is run again by this process'
    assert set(node.queues(name)) == {'evt-source-event--service.work'}, 'no dead letters'
