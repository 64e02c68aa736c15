"""N: what the network does. The services reach the broker through the proxy; the publisher does not."""

from tests.faults.row import Row
from tests.faults.scene import Scene
from tests.faults.service import doing

SENDING = "time.sleep(0.002)\nsend('out', {'id': payload['id']})"
BEFORE, AFTER = 100, 50


def cut(scene: Scene, how: str) -> None:
    """All connections end at once, under load."""
    scene.start()
    scene.publisher.load()
    scene.publisher.wait_for(BEFORE)
    scene.proxy.set(now=how)
    scene.heal()
    scene.publisher.wait_for(AFTER)


ROWS = (
    Row('N1', 'reset of all connections', lambda scene: cut(scene, 'rst'), doing(SENDING), proxied=True),
    Row('N2', 'half close', lambda scene: cut(scene, 'fin'), doing(SENDING), proxied=True),
)
