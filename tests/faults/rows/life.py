"""L: the life of the service: stops, kills, restarts."""

from tests.faults.row import Row
from tests.faults.scene import Scene
from tests.faults.service import doing


def terminated(scene: Scene) -> None:
    """SIGTERM under load; a second life finishes what was given back."""
    scene.start()
    scene.publisher.load()
    scene.publisher.wait_for(100)
    scene.stop()
    scene.check('nothing unacked after the stop', scene.remains.unacked() == 0)
    scene.publisher.stop()
    scene.start()


ROWS = (Row('L1', 'SIGTERM under load', terminated, doing('time.sleep(0.02)', workers=4)),)
