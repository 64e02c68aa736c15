"""M: what messages contain."""

from tests.faults.row import Row
from tests.faults.scene import Scene

MALFORMED = {'half': b'{"id":', 'no utf-8': b'"\xff\xfe"', 'words': b'these are words', 'empty': b''}


def malformed(scene: Scene) -> None:
    """Bodies that are no JSON between bodies that are."""
    scene.start()
    for name, body in MALFORMED.items():
        scene.publisher.send(10)
        scene.fail_for('body', scene.publisher.raw(body, name.replace(' ', '-')))
    scene.publisher.send(10)


ROWS = (Row('M1', 'malformed JSON, bad UTF-8', malformed),)
