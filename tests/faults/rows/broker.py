"""B: what the broker does. The publisher suffers it too, and sends on as soon as it can."""

from tests.faults.row import Row
from tests.faults.rows.network import AFTER, BEFORE, SENDING
from tests.faults.scene import Scene
from tests.faults.service import doing


def killed(scene: Scene) -> None:
    """kill -9 of the broker under load, and a restart."""
    scene.start()
    scene.publisher.load()
    scene.publisher.wait_for(BEFORE)
    scene.together(scene.node.kill)
    scene.together(scene.node.start)
    scene.heal()
    scene.publisher.wait_for(AFTER)


ROWS = (Row('B1', 'broker killed and restarted', killed, doing(SENDING), own_node=True),)
