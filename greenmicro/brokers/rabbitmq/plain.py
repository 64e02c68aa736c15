"""A plain, blocking connection to one host, for programs that are no services; it needs no gevent."""

from __future__ import annotations

from typing import Any

import kombu
from amqp.transport import SSLTransport
from kombu.transport import pyamqp

from greenmicro.brokers.rabbitmq.encryption import options_of
from greenmicro.tls import TLS


class _TLSTransport(SSLTransport):  # type: ignore[misc]
    """Takes a ready context, as services make it."""

    def _wrap_socket(self, sock: Any, context: Any, server_hostname: str) -> Any:
        return context.wrap_socket(sock, do_handshake_on_connect=False, server_hostname=server_hostname)


class _Connection(pyamqp.Connection):  # type: ignore[misc]
    """amqp's, with that transport."""

    def Transport(  # noqa: N802  # amqp's name
        self, host: str, connect_timeout: float, ssl: Any = False, *timeouts: Any, **options: Any
    ) -> Any:
        if not ssl:
            return super().Transport(host, connect_timeout, ssl, *timeouts, **options)
        return _TLSTransport(host, connect_timeout, ssl, **options)


class _KombuTransport(pyamqp.Transport):  # type: ignore[misc]
    """Kombu's transport for amqp, with that connection."""

    Connection = _Connection


def plain_client(uri: str, tls: TLS | None, name: str, timeout_s: float, **options: Any) -> Any:
    """Return kombu's client of a host, not connected, which reads a URI as services do.

    Args:
        uri: Where the broker is, one host.
        tls: As services have it in AMQP_SSL.
        name: The connection's name, as the broker shows it.
        timeout_s: How long each step of connecting may take, in seconds.
        **options: Further options of amqp's connection.

    Raises:
        BrokerError: What is said of TLS cannot be.
    """
    client = kombu.Connection(
        uri,
        transport=_KombuTransport,
        connect_timeout=timeout_s,
        transport_options={'client_properties': {'connection_name': name}, **options},
    )
    if uri.startswith('amqps:'):
        client.ssl = options_of(tls or TLS(), client.hostname, client.ssl or {})
    return client
