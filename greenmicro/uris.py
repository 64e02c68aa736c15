"""The URI of a broker: what is wrong with one, and how one is shown without its password."""

from __future__ import annotations

import re

_HIGHEST_PORT = 65_535
# Nothing of a URI is ever quoted: where one is malformed, any part of it may be the password.
_URI = re.compile(
    r'amqps?://(?:(?P<user>[^/?#\s]*)@)?(?:\[[\da-fA-F:.]+\]|[\w.%-]+)(?::(?P<port>[^/?#@:]*))?'
    r'(?:/[^?#@\s]*)?(?:\?[^#@\s]*)?'
)
_SECRET = re.compile(r'([^&=?]*(?:%|pass|pwd|secret|token)[^&=]*=)[^&]*', re.IGNORECASE)
_MEMORY = re.compile(r'memory://[\w.-]*/?')


def check_uri(value: object) -> str | None:
    """Check where a broker is said to be.

    Args:
        value: What should be an amqp or amqps URI, several of them with `;` between, or a memory URI.

    Returns:
        A sentence that says what is wrong and quotes nothing, or None.
    """
    if not isinstance(value, str):
        return f'wanted a string; found {type(value).__name__}'
    if _MEMORY.fullmatch(value):
        return None
    hosts = value.split(';')
    for number, uri in enumerate(hosts, 1):
        if fault := _fault(uri):
            return f'{fault} (host {number} of {len(hosts)})' if len(hosts) > 1 else fault
    return None


def masked(value: str) -> str:
    """Write `***` for each password, in the query too, and for all of a URI that is malformed."""
    return ';'.join(_masked(uri) for uri in value.split(';'))


def _fault(uri: str) -> str | None:
    match = _URI.fullmatch(uri)
    if match is None and re.match(r'(?!amqps?:)[a-z][a-z0-9+.-]*://', uri, re.IGNORECASE):
        return 'the scheme is not accepted; accepted are amqp, amqps and, alone, memory'
    if match is None:
        return (
            'wanted a URI like amqp://user:password@host:5672/; in user, password and virtual host write '
            '@ : / ? # ; and white space as %40 %3A %2F %3F %23 %3B and %20'
        )
    port = match['port']
    if port is not None and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) <= _HIGHEST_PORT):
        return f'the port is no number from 1 to {_HIGHEST_PORT}'
    return None


def _masked(uri: str) -> str:
    match = _URI.fullmatch(uri)
    if match is None or _fault(uri):
        return uri if _MEMORY.fullmatch(uri) else '***'
    user, colon, _ = (match['user'] or '').partition(':')
    if colon:
        uri = f'{uri[: match.start("user")]}{user}:***{uri[match.end("user") :]}'
    address, mark, query = uri.partition('?')
    return address + mark + _SECRET.sub(r'\1***', query)
