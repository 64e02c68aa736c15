"""Evidence: all that a scene has seen, put together for the judge."""

from tests.faults.judge import Evidence, Run
from tests.faults.scene import Scene


def evidence_of(scene: Scene) -> Evidence:
    """What was sent, what targets noted, and what was left in the broker, once stock is taken."""
    sends = any('send(' in listener.body for listener in scene.service.listeners)
    return Evidence(
        confirmed=frozenset(scene.publisher.confirmed),
        unknown=frozenset(scene.publisher.unknown),
        runs=tuple(map(Run.of, scene.ledger.read())),
        dead=scene.remains.dead,
        left=scene.remains.left,
        meant_to_fail=dict(scene.meant_to_fail),
        sent_on=frozenset(scene.remains.sent_on) | scene.excused if sends else None,
        heals=tuple(scene.heals),
        faults=scene.faulted,
        stop_s=scene.stop_s,
        exit_code=scene.exit_code,
        children=scene.orphans,
        unacked=scene.unacked,
        remarks=tuple(scene.remarks),
    )
