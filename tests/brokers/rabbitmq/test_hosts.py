"""Hosts: each is tried at once, then after a delay of its own, and shown without its password."""

import pytest

from greenmicro.brokers.rabbitmq import hosts as hosts_module
from greenmicro.brokers.rabbitmq.hosts import Host, Hosts


@pytest.mark.parametrize(
    ('uri', 'address', 'who'),
    [
        ('amqp://h', 'h:5672', "user 'guest' on virtual host '/'"),
        ('amqps://u:secret@h/', 'h:5671', "user 'u' on virtual host '/'"),
        ('amqp://a%40b:secret@[::1]:7/%2Fv', '[::1]:7', "user 'a@b' on virtual host '/v'"),
        ('amqp://u:secret@h:7/v?heartbeat=3', 'h:7', "user 'u' on virtual host 'v'"),
    ],
)
def test_a_host_is_named_without_its_password(uri: str, address: str, who: str) -> None:
    """With the defaults that hold where the URI says nothing."""
    host = Host(uri, 1.0)
    assert (host.address, host.who) == (address, who)


def test_each_is_tried_at_once_and_then_when_it_is_due() -> None:
    """A host that refuses us does not hold up the others, and is left alone for a while."""
    hosts = Hosts('amqp://a;amqp://b;amqp://c', 0.001)
    seen = []
    for refused in (True, False, False):
        host, delay_s = hosts.next()
        seen.append((host.address, delay_s))
        host.note('some state', refused)
    assert seen == [('a:5672', 0), ('b:5672', 0), ('c:5672', 0)]
    for _ in range(20):
        host, delay_s = hosts.next()
        assert host.address in ('b:5672', 'c:5672')
        assert delay_s <= 0.001
        host.note('some state', False)


def test_one_that_refuses_us_is_tried_every_5_s() -> None:
    """Not in a hot loop."""
    hosts = Hosts('amqp://a', 1.0)
    hosts.next()[0].note('refused', True)
    assert 4.5 < hosts.next()[1] <= hosts_module.REFUSED_RETRY_S == 5.0


def test_after_a_connection_the_next_host_comes_first() -> None:
    """At once, whatever was before."""
    hosts = Hosts('amqp://a;amqp://b', 1.0)
    hosts.next()[0].note('no broker', False)
    connected, _ = hosts.next()
    hosts.reset()
    host, delay_s = hosts.next()
    assert (connected.address, host.address, delay_s) == ('b:5672', 'a:5672', 0)


def test_a_change_of_state_is_told_once() -> None:
    """Of each host by itself."""
    host = Host('amqp://a', 0.001)
    states = ['no broker', 'no broker', 'refused', 'refused', 'no broker']
    assert [host.note(state, False) for state in states] == [True, False, True, False, True]
    host.reset()
    assert host.note('no broker', False)
