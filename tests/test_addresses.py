"""Addresses: which are taken, how they are shown, and where they are asked."""

from __future__ import annotations

import pytest

from greenmicro.addresses import Address


@pytest.mark.parametrize(
    ('text', 'host', 'port', 'asked'),
    [
        ('127.0.0.1:8080', '127.0.0.1', 8080, '127.0.0.1:8080'),
        (':8080', '', 8080, '127.0.0.1:8080'),
        ('0.0.0.0:1', '0.0.0.0', 1, '127.0.0.1:1'),
        ('[::1]:65535', '::1', 65_535, '[::1]:65535'),
        ('[::]:80', '::', 80, '[::1]:80'),
        ('health.my-service:80', 'health.my-service', 80, 'health.my-service:80'),
    ],
)
def test_what_is_an_address(text: str, host: str, port: int, asked: str) -> None:
    """It is shown as it was written; who listens everywhere is asked at the loopback."""
    address = Address.parse(text)
    assert address == (host, port)
    assert str(address) == text
    assert str(address.asked) == asked


@pytest.mark.parametrize(
    'value',
    [
        *(
            '',
            '8080',
            ':',
            ':0',
            ':65536',
            ':\u0661',
            '::1:80',
            '[::1]',
            'http://h:80',
            'h:80/',
            'a b:80',
            ' :80',
        ),
        *(None, 8080, b':8080', ':8080\n'),
    ],
)
def test_what_is_none(value: object) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match=r'^$'):
        Address.parse(value)
