"""B10: who answers at the broker's address is not whom the service trusts, or speaks no TLS."""

import socket
from pathlib import Path

from gevent.server import StreamServer

from tests.faults.row import Row
from tests.faults.rows.network import SENDING
from tests.faults.scene import Scene
from tests.faults.service import doing
from tests.support.certificates import Authority
from tests.support.tls_front import Front

#: How the broker begins its answer to what is no AMQP.
PLAIN_ANSWER = b'AMQP\x00\x00\x09\x01'
TLS_HANDSHAKE = b'\x16'


class PlainPort:
    """A port that speaks AMQP and no TLS; as a context manager it listens.

    Attributes:
        seen: the first bytes of each client.
    """

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.server = StreamServer(('127.0.0.1', 0), self._serve)

    def uri(self, vhost: str) -> str:
        """Its address, as if it spoke TLS."""
        return f'amqps://guest:guest@localhost:{self.server.server_port}/{vhost}'

    def _serve(self, sock: socket.socket, _: object) -> None:
        self.seen.append(sock.recv(8))
        sock.sendall(PLAIN_ANSWER)


def impostors(scene: Scene) -> None:
    """Four ports that are not the trusted broker are refused and told nothing; the right one works."""
    ours, strange = (authority(scene.folder / name) for name in ('ours', 'strange'))
    trusting = ('env', f'SSL_CERT_FILE={ours.certificate}')
    fronts = {name: Front(scene.node, scene.vhost, ours) for name in ('stranger', 'other name', 'expired')}
    fronts['stranger'].show(*strange.issue('localhost'))
    fronts['other name'].show(*ours.issue('elsewhere'))
    fronts['expired'].show(*ours.issue('localhost', days=-1))
    plain = PlainPort()
    plain.server.start()
    uris = {name: front.uri() for name, front in fronts.items()} | {'plain': plain.uri(scene.vhost)}
    programs = {name: scene.start(ready=False, uri=uri, within=trusting) for name, uri in uris.items()}
    for name in fronts:
        program = programs[name]
        scene.check(f'{name}: an exit code that says so', scene.wait_end(program) != 0)
        scene.check(f'{name}: it says that it is about TLS', 'TLS' in program.output)
    sent = {name: front.seen for name, front in fronts.items() if front.seen}
    scene.check(f'nothing is sent to them, found {sent}', not sent)
    # That may be another program, while the broker restarts: it is tried on, and told of.
    scene.until('tries at the plain port', lambda: len(plain.seen) >= 4)
    scene.stop(programs['plain'])
    scene.check('no TLS: it is told', 'SSL' in programs['plain'].output)
    begun = {first[:1] for first in plain.seen}
    scene.check(f'only a TLS handshake at the plain port, found {begun}', begun == {TLS_HANDSHAKE})
    right = Front(scene.node, scene.vhost, ours)
    scene.start(uri=right.uri(), within=trusting)
    scene.some(20)
    scene.settle()
    scene.check(f'AMQP inside TLS, found {right.seen}', set(right.seen) == {b'AMQP'})
    scene.finish()
    for server in (plain.server, right.server, *(front.server for front in fronts.values())):
        server.stop()


def authority(folder: Path) -> Authority:
    """An authority with a folder of its own."""
    folder.mkdir()
    return Authority(folder)


ROWS = (Row('B10', 'unknown authority, other name, expired, no TLS', impostors, doing(SENDING)),)
