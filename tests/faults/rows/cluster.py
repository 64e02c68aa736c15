"""B12, B13: what befalls a cluster. The first node is left alone, the service prefers the second."""

from collections.abc import Callable

from tests.faults.cluster import Cluster
from tests.faults.judge import Limits
from tests.faults.row import Row
from tests.faults.rows.network import PATIENT, under_load
from tests.faults.scene import Scene

#: How long a node is parted from the others, in seconds.
PARTED_S = 8.0


def cluster_of(scene: Scene) -> Cluster:
    """The three nodes."""
    assert isinstance(scene.node, Cluster)
    return scene.node


def parted(scene: Scene) -> None:
    """One node is parted from the two others, and pauses itself; the service moves on."""
    cluster = cluster_of(scene)
    node = cluster.others[0]

    def fault() -> None:
        scene.together(lambda: cluster.cut_off(node))
        scene.hold(PARTED_S)

    def heal() -> None:
        cluster.knit(node)
        cluster.wait_whole()

    under_load(scene, fault, lambda: scene.together(heal))


def leader_killed(scene: Scene) -> None:
    """kill -9 of the node that leads the queue, then a rolling restart of what may be restarted."""
    cluster = cluster_of(scene)

    def kill() -> None:
        cluster.others[0].kill()

    def start() -> None:
        cluster.others[0].start()
        cluster.wait_whole()

    def roll() -> None:
        for node in cluster.others:
            node.restart()
            cluster.wait_whole()

    def fault() -> None:
        scene.together(kill)
        scene.publisher.wait_for(50, 60)
        scene.together(start)
        scene.together(roll)

    under_load(scene, fault)


def on_cluster(row: str, title: str, play: Callable[[Scene], None]) -> Row:
    """A row for quorum queues: others do not outlive their node."""
    limits = Limits(recover_s=5.0)
    return Row(row, title, play, PATIENT, limits, queue_types=('quorum',), cluster=True, quick=False)


ROWS = (
    on_cluster('B12', 'a node parted from its cluster', parted),
    on_cluster('B13', 'leader killed, rolling restart', leader_killed),
)
