"""The test run: the hub patched as in a service, one private RabbitMQ for all, a vhost for each test."""

from gevent import monkey

# First of all, so that brokers and pools under test run as greenlets of this process, as in a service.
monkey.patch_all()

# ruff: noqa: E402   # imports below the patch, which must come first
import itertools
import os
from collections.abc import Iterator

import pytest

from tests.support.amqp_client import Client
from tests.support.rabbitmq import Node

_vhost_numbers = itertools.count(1)
#: By what coverage, where it measures this process, gets into those that it starts; taken out here.
_MEASURING = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith('COVERAGE_PROCESS')}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have coverage measure the processes that this test starts, where it measures this one.

    It costs each of them 100 ms of processor time at its start and some 4 us per call, a third of the run
    when all were measured. So only those tests ask for it whose processes run what no other test's do.
    """
    for name, value in _MEASURING.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope='session')
def rabbitmq() -> Iterator[Node]:
    """The broker of this run, started by the first test that asks for it; tests leave it running.

    A test that stops or kills a broker takes `node`, or starts one of its own. Without RabbitMQ the test
    fails, since a skipped one shows nothing.
    """
    with Node() as node:
        yield node


@pytest.fixture(scope='session')
def node() -> Iterator[Node]:
    """A broker for tests that kill it, freeze it or change its settings; they leave it running."""
    with Node() as node:
        yield node


@pytest.fixture
def vhost(rabbitmq: Node) -> Iterator[str]:
    """The name of a vhost of this test's own; deleted after it, with the connections still open on it."""
    name = f'test-{next(_vhost_numbers)}'
    rabbitmq.create_vhost(name)
    yield name
    rabbitmq.delete_vhost(name)


@pytest.fixture
def amqp_uri(rabbitmq: Node, vhost: str) -> str:
    """The AMQP address of this test's vhost."""
    return rabbitmq.uri(vhost)


@pytest.fixture
def amqp_client(amqp_uri: str) -> Iterator[Client]:
    """Another program's client on this test's vhost."""
    with Client(amqp_uri) as client:
        yield client
