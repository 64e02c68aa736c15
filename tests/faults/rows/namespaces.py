"""N5: a cable is cut between two machines, as far as their kernels can tell. It needs root."""

from tests.faults.judge import Limits
from tests.faults.row import Row
from tests.faults.rows.broker import ADD_USER
from tests.faults.rows.network import BEFORE, CLIENT_INTERVALS, PATIENT, SLACK_S
from tests.faults.scene import Scene
from tests.support.erlang import binary
from tests.support.namespaces import Routed
from tests.support.sockets import CONNECTING, connections

LISTEN = 'rabbit_networking:start_tcp_listener({{"{address}", {port}, inet}}, 4).'
LISTEN_NO_MORE = 'rabbit_networking:stop_tcp_listener({{"{address}", {port}, inet}}).'
#: guest may come from this machine only.
USER, PASSWORD = 'far', 'word'
#: The longest wait between two tries.
PAUSE_S = 1.0


def cable_cut(scene: Scene) -> None:
    """Packets vanish both ways, and nobody is told: noticed by heartbeats, and each try to connect ends."""
    user = f'{USER}-{scene.folder.name}'
    names = {'user': binary(user), 'vhost': binary(scene.vhost), 'password': binary(PASSWORD)}
    scene.node.eval(ADD_USER.format(**names))
    with Routed() as route:
        where = {'address': route.address, 'port': scene.node.port}
        scene.node.eval(LISTEN.format(**where))
        uri = scene.uri.replace('guest:guest@127.0.0.1', f'{user}:{PASSWORD}@{route.address}')
        scene.start(uri=uri, within=route.within())
        scene.publisher.load()
        for _ in scene.faults(BEFORE):
            cut(scene, route)
            scene.heal()
        scene.finish()
        scene.node.eval(LISTEN_NO_MORE.format(**where))


def cut(scene: Scene, route: Routed) -> None:
    """Cut it until the service has noticed and tried twice, and mend it."""
    route.forward(on=False)
    limit_s = CLIENT_INTERVALS * scene.service.heartbeat_s + SLACK_S
    scene.until('a new connection is tried', lambda: bool(tries(scene)), limit_s)
    seen = tries(scene)
    limit_s = scene.service.connect_timeout_s + SLACK_S
    scene.until('the try is given up', lambda: not seen & tries(scene), limit_s)
    scene.until('another is tried', lambda: bool(tries(scene) - seen), PAUSE_S + SLACK_S)
    route.forward(on=True)


def tries(scene: Scene) -> set[int]:
    """The local ports of connections that the service has asked for and nobody has answered."""
    found = connections(scene.program.pid)
    return {connection.port for connection in found if connection.state == CONNECTING}


ROWS = (
    # A try may have begun just before the heal: its time-out, then the wait, as in N13.
    Row('N5', 'cable cut, no FIN', cable_cut, PATIENT, Limits(recover_s=3.0), quick=False),
)
