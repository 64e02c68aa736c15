"""A TLS port before a broker that has none of its own."""

import socket
import ssl
from pathlib import Path

import gevent
from gevent.server import StreamServer

from tests.support.certificates import Authority
from tests.support.rabbitmq import Node


class Front:
    """A TLS port before the broker.

    Attributes:
        seen: The first bytes of each client that got through.
    """

    def __init__(self, node: Node, vhost: str, authority: Authority) -> None:
        self._node = node
        self._vhost = vhost
        self._authority = authority
        self.seen: list[bytes] = []
        self.show(*authority.issue('localhost'))
        self.server = StreamServer(('127.0.0.1', 0), self._serve)
        self.server.start()

    def show(self, certificate: Path, key: Path, *, ask: bool = False) -> None:
        """Show a certificate from now on, and ask for one of the client's or not."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._context.load_verify_locations(self._authority.certificate)
        self._context.verify_mode = ssl.CERT_REQUIRED if ask else ssl.CERT_NONE

    def uri(self, host: str = 'localhost', query: str = '') -> str:
        return f'amqps://guest:guest@{host}:{self.server.server_port}/{self._vhost}{query}'

    def _serve(self, sock: socket.socket, _: object) -> None:
        try:
            client = self._context.wrap_socket(sock, server_side=True)
        except OSError:
            return
        with client, socket.create_connection(('127.0.0.1', self._node.port)) as upstream:
            first = client.recv(65_536)
            self.seen.append(first[:4])
            upstream.sendall(first)
            gevent.wait([gevent.spawn(pump, client, upstream), gevent.spawn(pump, upstream, client)], count=1)


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
    except OSError:
        pass  # one of them is gone
