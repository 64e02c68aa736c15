"""Encryption: whom we trust, who trusts us, and that nothing is ever sent to anybody else."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import gevent
import pytest

from greenmicro.brokers.rabbitmq import hosts
from greenmicro.errors import BrokerError
from tests.brokers.rabbitmq.faults import close_connections
from tests.brokers.sides import DEADLINE_S, NewSide, Side, event
from tests.support.certificates import Authority, openssl
from tests.support.rabbitmq import Node
from tests.support.tls_front import Front


@pytest.fixture(scope='module')
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp('tls'))


@pytest.fixture(scope='module')
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that the other side does not know."""
    return Authority(tmp_path_factory.mktemp('tls'), 'stranger')


@pytest.fixture
def front(rabbitmq: Node, vhost: str, authority: Authority) -> Iterator[Front]:
    made = Front(rabbitmq, vhost, authority)
    yield made
    made.server.stop()


def refusal(uri: str, **config: object) -> str:
    """Start a service that is refused, and return what it says of it."""
    side = Side(uri, RECONNECT_MAX_S=0.05, **config).start()
    error = side.fatal.get(timeout=DEADLINE_S)
    assert isinstance(error, BrokerError)
    side.close()
    return str(error)


def works(uri: str, **config: object) -> bool:
    """Whether messages go both ways."""
    side = Side(uri, **config)
    inbox = side.subscribe('q')
    side.start_ready()
    side.broker.publish(event(bytes(300_000)))
    message = inbox.next()
    inbox.ack(message)
    side.close()
    return message.body == bytes(300_000)


def test_whom_nobody_we_trust_vouches_for(front: Front, stranger: Authority) -> None:
    """By default that is who the system trusts; the start ends with a sentence, and nothing was sent."""
    said = refusal(front.uri())
    port = front.server.server_port
    assert said.startswith(
        f'AMQP_SSL: no TLS with the broker at localhost:{port}: its certificate is refused'
    )
    assert 'certificate in certificate chain' in said
    assert 'its certificate is refused' in refusal(front.uri(), AMQP_SSL={'ca': str(stranger.certificate)})
    assert not front.seen


def test_who_is_not_whom_we_called(front: Front, authority: Authority) -> None:
    """The name is that of the URI; another one can be said."""
    trusted = {'ca': str(authority.certificate)}
    assert "IP address mismatch, certificate is not valid for '127.0.0.1'" in refusal(
        front.uri('127.0.0.1'), AMQP_SSL=trusted
    )
    assert "Hostname mismatch, certificate is not valid for 'mq'" in refusal(
        front.uri(), AMQP_SSL={**trusted, 'server_name': 'mq'}
    )
    assert not front.seen
    assert works(front.uri('127.0.0.1'), AMQP_SSL={**trusted, 'server_name': 'localhost'})


def test_a_certificate_that_has_expired(front: Front, authority: Authority) -> None:
    """It is as good as none."""
    front.show(*authority.issue('localhost', days=-1))
    assert 'certificate has expired' in refusal(front.uri(), AMQP_SSL={'ca': str(authority.certificate)})
    assert not front.seen


def test_who_is_trusted(front: Front, authority: Authority) -> None:
    """By AMQP_SSL or by the URI's own query, which goes over it; or anybody, if one says so."""
    ours = str(authority.certificate)
    assert works(front.uri(), AMQP_SSL={'ca': ours})
    assert works(front.uri(query=f'?ssl_ca_certs={ours}'))
    assert works(front.uri('127.0.0.1'), AMQP_SSL={'verify': False})
    assert works(front.uri('127.0.0.1', '?ssl_cert_reqs=CERT_NONE'), AMQP_SSL={'ca': ours})
    assert 'IP address mismatch' in refusal(front.uri('127.0.0.1', f'?ssl_ca_certs={ours}'))


def test_a_broker_that_asks_for_our_certificate(
    front: Front, authority: Authority, stranger: Authority
) -> None:
    """It gets it; without one, or with one that it does not know, we are told who refuses whom."""
    front.show(*authority.issue('localhost'), ask=True)
    trusted = {'ca': str(authority.certificate)}
    assert 'it refuses our certificate, or that there is none' in refusal(front.uri(), AMQP_SSL=trusted)
    certificate, key = map(str, stranger.issue('shop'))
    unknown = {**trusted, 'certificate': certificate, 'key': key}
    assert 'it refuses our certificate' in refusal(front.uri(), AMQP_SSL=unknown)
    assert not front.seen
    certificate, key = map(str, authority.issue('shop'))
    assert works(front.uri(), AMQP_SSL={**trusted, 'certificate': certificate, 'key': key})


def test_files_that_are_not_what_they_should_be(front: Front, authority: Authority, tmp_path: Path) -> None:
    """No certificate, the key of another, a key with a password: told, and nobody is asked for it."""
    empty = tmp_path / 'empty.pem'
    empty.touch()
    assert 'AMQP_SSL: a file of TLS(' in refusal(front.uri(), AMQP_SSL={'ca': str(empty)})
    certificate, key = map(str, authority.issue('shop'))
    _, other = map(str, authority.issue('other'))
    assert 'KEY_VALUES_MISMATCH' in refusal(front.uri(), AMQP_SSL={'certificate': certificate, 'key': other})
    locked = str(tmp_path / 'locked.key')
    openssl('ec', '-aes128', '-passout', 'pass:secret', '-in', key, '-out', locked)
    assert 'a file of TLS(' in refusal(front.uri(), AMQP_SSL={'certificate': certificate, 'key': locked})
    assert "'ssl_version' is no option" in refusal(front.uri(query='?ssl_version=3'))


def test_a_certificate_that_expires_while_we_run(
    front: Front, authority: Authority, rabbitmq: Node, new_side: NewSide,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It is waited for, every few seconds, until somebody has renewed it; never is it done without."""
    monkeypatch.setattr(hosts, 'REFUSED_RETRY_S', 0.05)
    side = Side(front.uri(), AMQP_SSL={'ca': str(authority.certificate)})
    inbox = side.subscribe('q')
    side.start_ready()
    front.show(*authority.issue('localhost', days=-1))
    close_connections(rabbitmq, 'shop')
    while len([line for line in caplog.messages if 'refused at localhost' in line]) < 2:
        gevent.sleep(0.01)
    assert len(front.seen) == 2
    front.show(*authority.issue('localhost'))
    assert side.broker.wait_ready(DEADLINE_S)
    assert side.fatal.empty()
    side.broker.publish(event(b'x'))
    inbox.ack(inbox.next())
    side.close()


def test_plain_amqp_on_a_tls_port_and_the_reverse(
    amqp_uri: str, front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither connects, and neither falls back; it may be a proxy whose broker is away."""
    plain = urlsplit(amqp_uri)
    for uri in (front.uri().replace('amqps', 'amqp'), f'amqps://localhost:{plain.port}{plain.path}'):
        side = Side(uri, CONNECT_TIMEOUT_S=1, RECONNECT_MAX_S=0.05).start()
        assert not side.broker.wait_ready(0.5)
        side.close()
        assert side.fatal.empty()
    assert 'WRONG_VERSION_NUMBER' in caplog.messages[-1]
    assert not front.seen
