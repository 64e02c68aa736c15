"""Encryption: from what the user says of TLS to a context for one connection, and why a peer is refused."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from greenmicro.errors import BrokerError
from greenmicro.tls import TLS

#: What kombu reads in the query of a URI; it goes over AMQP_SSL, for that host.
_OF_THE_URI = {
    'ssl_ca_certs': 'ca',
    'ssl_certfile': 'certificate',
    'ssl_keyfile': 'key',
    'ssl_cert_reqs': 'verify',
    'ssl_server_hostname': 'server_name',
}
#: How OpenSSL names what a peer says of our certificate, or of there being none.
_OF_OUR_CERTIFICATE = ('CERTIFICATE', 'UNKNOWN_CA', 'HANDSHAKE_FAILURE')


def options_of(tls: TLS, host: str, query: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a TLS transport.

    The files are read each time, so that a new certificate serves from the next connection on.

    Args:
        tls: What the user says of all hosts.
        host: The name of this one, as the URI has it: kombu's own way makes an address of `localhost`.
        query: The options in its URI.

    Raises:
        BrokerError: A file is not what it should be, or an option is unknown.
    """
    for name, value in query.items():
        if name not in _OF_THE_URI:
            raise BrokerError(f'AMQP_URI: {name!r} is no option; they are {", ".join(_OF_THE_URI)}')
        value = value != ssl.CERT_NONE if name == 'ssl_cert_reqs' else value
        tls = tls._replace(**{_OF_THE_URI[name]: value})
    try:
        context = _context(tls)
    except (OSError, ValueError) as error:
        raise BrokerError(f'AMQP_SSL: a file of {tls} cannot be used: {error}') from error
    return {'context': context, 'server_hostname': tls.server_name or host}


def _context(tls: TLS) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = tls.verify
    context.verify_mode = ssl.CERT_REQUIRED if tls.verify else ssl.CERT_NONE
    if tls.ca is not None:
        context.load_verify_locations(tls.ca)
    elif tls.verify:
        context.load_default_certs()
    if tls.certificate is not None:
        # With a password, though an empty one: without, OpenSSL would ask for it at the terminal.
        context.load_cert_chain(tls.certificate, tls.key, '')
    return context


def distrust(error: Exception) -> str | None:
    """Say which side does not trust the other's certificate; None if that is not why a connect failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f'its certificate is refused: {error.verify_message}'
    reason = (isinstance(error, ssl.SSLError) and error.reason) or ''
    if 'ALERT' in reason and any(part in reason for part in _OF_OUR_CERTIFICATE):
        return f'it refuses our certificate, or that there is none: {reason}'
    return None
