"""TLS: what of a user's options is accepted, and what is said of the rest."""

from pathlib import Path
from typing import Any

import pytest

from greenmicro.errors import ConfigError
from greenmicro.settings import Settings
from greenmicro.tls import TLS, check_tls


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / 'some.pem'
    path.touch()
    return str(path)


def test_what_is_accepted(file: str) -> None:
    """All options, some of them, or none."""
    every = {'ca': file, 'certificate': file, 'key': file, 'verify': False, 'server_name': 'mq'}
    for options in (every, {}, {'ca': file}, {'certificate': file, 'key': None}):
        assert not list(check_tls(options))


@pytest.mark.parametrize(
    ('options', 'fault'),
    [
        (True, 'wanted a dict; found bool'),
        ({'certificat': 'x'}, "'certificat' is no option of it; did you mean 'certificate'?"),
        ({3: 'x'}, '3 is no option of it; they are ca, certificate, key, verify, server_name'),
        ({'ca': '/no/such.pem'}, "'ca': wanted a file that can be read; there is none at '/no/such.pem'"),
        ({'ca': '/'}, "'ca': wanted a file that can be read; there is none at '/'"),
        ({'ca': 3}, "'ca': wanted a path; found 3"),
        ({'server_name': ''}, "'server_name': wanted a name; found ''"),
        ({'verify': 'no'}, "'verify': wanted True or False; found 'no'"),
        ({'verify': None}, "'verify': wanted True or False; found None"),
    ],
)
def test_what_is_wrong_is_told(options: Any, fault: str) -> None:
    """With what was wanted."""
    assert list(check_tls(options)) == [fault]


def test_a_key_alone_is_of_no_use(file: str) -> None:
    """It belongs to a certificate."""
    assert list(check_tls({'key': file})) == ["'key': wanted with a 'certificate'"]


def load(uri: str, options: object, **environ: str) -> Settings:
    return Settings.load({'AMQP_URI': uri, 'SERVICE_NAME': 'shop', 'AMQP_SSL': options}, environ)


def test_it_is_a_setting(file: str) -> None:
    """From the config or, as JSON, from the environment; without, an amqps URI has the defaults."""
    assert load('amqps://h', {'ca': file}).amqp_ssl == TLS(ca=file, verify=True)
    given = load('amqps://h', None, GREENMICRO_AMQP_SSL='{"verify": false, "server_name": "mq"}')
    assert given.amqp_ssl == TLS(verify=False, server_name='mq')
    assert load('amqps://h', None).amqp_ssl is None


@pytest.mark.parametrize(
    ('uri', 'options', 'environ', 'fault'),
    [
        ('amqps://h', {'cas': 'x', 'verify': 1}, {}, "AMQP_SSL in the config: 'cas' is no option of it;"),
        ('amqps://h', None, {'GREENMICRO_AMQP_SSL': 'yes'}, 'GREENMICRO_AMQP_SSL in the environment:'),
        ('amqp://h', {}, {}, 'AMQP_SSL in the config: wanted with amqps:// in AMQP_URI; found amqp://'),
        ('amqps://h;amqp://h', {}, {}, 'AMQP_SSL in the config: wanted with amqps:// in AMQP_URI'),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_is_one_fault(
    uri: str, options: object, environ: dict[str, str], fault: str
) -> None:
    """Encryption that is set up and not used above all."""
    with pytest.raises(ConfigError) as caught:
        load(uri, options, **environ)
    (only,) = caught.value.faults
    assert only.startswith(fault)


def test_the_broker_inside_the_process_needs_none() -> None:
    """So a config with encryption serves in a test as it is, with another URI."""
    assert load('memory://', {'verify': True}).amqp_ssl == TLS()
