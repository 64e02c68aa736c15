"""URIs: which are taken, what is said of the others, and that no password is ever shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenmicro.uris import check_uri, masked


@pytest.mark.parametrize(
    ('uri', 'name'),
    [
        ('amqp://guest:guest@localhost:5672/', 'amqp://guest:***@localhost:5672/'),
        ('amqps://u:p%40ss@mq.example.org/vhost', 'amqps://u:***@mq.example.org/vhost'),
        ('amqp://u:p@ss:w&rd="\'@h', 'amqp://u:***@h'),
        ('amqp://u:@h', 'amqp://u:***@h'),
        ('amqp://:secret@h', 'amqp://:***@h'),
        ('amqp://u@h', 'amqp://u@h'),
        ('amqp://h', 'amqp://h'),
        ('amqp://u:p@[::1]:5671/', 'amqp://u:***@[::1]:5671/'),
        ('amqp://a:b@h1;amqps://c:d@h2:1', 'amqp://a:***@h1;amqps://c:***@h2:1'),
        ('amqp://h/?password=secret&x=1&Token=secret', 'amqp://h/?password=***&x=1&Token=***'),
        ('amqp://h/?heartbeat=1&p%61ssword=secret', 'amqp://h/?heartbeat=1&p%61ssword=***'),
        ('memory://', 'memory://'),
        ('memory://one', 'memory://one'),
    ],
)
def test_a_uri_is_taken_and_shown_without_its_passwords(uri: str, name: str) -> None:
    """Each password is masked, in the query too; the rest is as given."""
    assert check_uri(uri) is None
    assert masked(uri) == name


@pytest.mark.parametrize(
    'uri',
    [
        'amqp://u:hun/ter@h',
        'amqp://u:5672/hunter@h',
        'amqp://u:hun?ter@h',
        'amqp://u:hun#ter@h',
        'amqp://u:hun ter@h',
        'amqp://u:hun;ter@h',
        'amqp://u:hun;ter://@h',
        'u:hunter@h:5672',
        'amqp://u:hunter',
        'redis://u:hunter@h',
        'hunter',
        b'amqp://u:hunter@h',
        ['amqp://u:hunter@h'],
    ],
)
def test_a_malformed_uri_is_refused_without_a_word_of_the_password(uri: Any) -> None:
    """Where a URI is malformed any part may be the password, so none is quoted; nor is it once past us."""
    fault = str(check_uri(uri))
    assert fault.startswith(('wanted ', 'the '))
    assert 'hun' not in fault
    assert 'ter' not in fault.replace('write', '')
    if isinstance(uri, str):
        assert 'hun' not in masked(uri)
        assert 'ter' not in masked(uri)


@pytest.mark.parametrize(
    ('uri', 'words'),
    [
        ('redis://h', 'the scheme is not accepted; accepted are amqp, amqps and, alone, memory'),
        ('memory://;amqp://h', 'alone, memory (host 1 of 2)'),
        ('amqp://h:0', 'the port is no number from 1 to 65535'),
        ('amqp://h:65536', 'the port is no number'),
        ('amqp://h:' + '9' * 9_000, 'the port is no number'),
        ('amqp://h:٣', 'the port is no number'),
        ('amqp://h:', 'the port is no number'),
        ('amqp://', 'wanted a URI like amqp://'),
        ('amqp://:@:/', 'wanted a URI like amqp://'),
        ('amqp://h1;', '(host 2 of 2)'),
        ('amqp://h\n', 'wanted a URI like amqp://'),
        (3, 'wanted a string; found int'),
    ],
)
def test_a_uri_that_leads_nowhere_says_why(uri: Any, words: str) -> None:
    """Scheme, host and port are checked, for each of several hosts."""
    assert words in str(check_uri(uri))


@given(st.text(alphabet=st.characters(categories=('L', 'N', 'P', 'S', 'Zs')), min_size=6))
def test_no_password_gets_through(password: str) -> None:
    """Whatever the password is, neither the masked URI nor a fault shows it."""
    secret = f'{password}<secret>'
    uri = f'amqp://guest:{secret}@localhost:5672/'
    for shown in (masked(uri), str(check_uri(uri))):
        assert '<secret>' not in shown
        assert secret not in shown
