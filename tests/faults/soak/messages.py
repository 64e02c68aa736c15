"""Q, M, T and H in the soak: messages among its load that ask for it, and queues that go."""

import json

from tests.faults.rows.messages import (
    FORGED,
    MALFORMED,
    MANY_HEADERS,
    SCHEMAS,
    UNKNOWN,
    Bad,
    exploding,
    running_code,
)
from tests.faults.rows.targets import RAISED
from tests.faults.rows.topology import DELETE_EXCHANGE
from tests.faults.soak.service import OTHER, RETRIED
from tests.faults.soak.soaked import WELL_S, Soaked
from tests.support.erlang import binary

BUSY_S = 10.0
STORM, FORKS, FAN_OUT = 500, 50, 2_000


def bad(soaked: Soaked, messages: Bad) -> None:
    """Messages that can never succeed."""
    publisher = soaked.scene.publisher
    for body, properties, reason in messages.values():
        soaked.fail(reason, publisher.raw(body, **properties))


def running(soaked: Soaked) -> None:
    """Formats whose reading runs code."""
    canary = soaked.scene.folder / 'canary'
    bad(soaked, running_code(canary))
    soaked.scene.check('nothing was executed', not canary.exists())


def forged(soaked: Soaked) -> None:
    """Properties that nobody can decode."""
    for properties in FORGED.values():
        name = soaked.scene.publisher.fresh('forged-')
        body = json.dumps({'id': name}).encode()
        soaked.fail('properties', soaked.scene.publisher.forged(body, name, properties))


def large(soaked: Soaked, **fields: object) -> None:
    """A message that is run as any other, however large."""
    name = soaked.scene.publisher.fresh('large-')
    body = json.dumps({'id': name, 'filler': fields.pop('filler', '')}).encode()
    soaked.scene.publisher.raw(body, name, **fields)
    soaked.scene.wait_finished([name], WELL_S)


def asked(soaked: Soaked, row: str, count: int = 1, **fields: object) -> None:
    """Messages that ask the target for something that it survives."""
    soaked.scene.wait_finished(soaked.scene.publisher.send(count, row=row, **fields), WELL_S)


def failing(soaked: Soaked, reason: str, row: str, *, event: str | None = None, **fields: object) -> None:
    """A message whose target fails."""
    soaked.fail(reason, *soaked.scene.publisher.send(1, event, row=row, **fields))


def raising(soaked: Soaked) -> None:
    """Whatever can be raised, and the process is the same afterwards."""
    for kind in RAISED:
        failing(soaked, 'target', 'T1', kind=kind)


def returning(soaked: Soaked) -> None:
    """Whatever can be returned."""
    for kind in ('large', 'object', 'generator'):
        asked(soaked, 'T2', kind=kind)


def noisy(soaked: Soaked) -> None:
    """A hundred megabytes of output, an empty input, closed descriptors."""
    for kind in ('flood', 'reads', 'closes'):
        asked(soaked, 'T8', kind=kind, lines=5_000, width=10_000)


def busy(soaked: Soaked) -> None:
    """A target burns the processor on the hub, and the link is kept."""
    before = soaked.scene.proxy.accepted()
    asked(soaked, 'T7', busy_s=BUSY_S)
    soaked.scene.check('the connection is kept', soaked.scene.proxy.accepted() == before)


def slow(soaked: Soaked) -> None:
    """A backlog of slow messages, and another listener has its share."""
    names = soaked.scene.publisher.send(20, row='slow', sleep_s=1)
    soaked.scene.wait_finished(soaked.scene.publisher.send(1, OTHER))
    soaked.scene.wait_finished(names, WELL_S)


def storm(soaked: Soaked) -> None:
    """Hundreds fail at once, twice, and then succeed; fresh ones are not starved."""
    soaked.scene.publisher.bulk(STORM, RETRIED, row='fails at first')
    soaked.scene.wait_finished(soaked.scene.publisher.send(20, RETRIED), WELL_S)
    with soaked.quiet():
        pass


def queue_deleted(soaked: Soaked) -> None:
    """The queue is deleted under its consumer, when it holds nothing."""
    scene = soaked.scene
    with soaked.quiet():
        with scene.client() as client:
            client.delete_queue(scene.queue)
        scene.until('the queue is consumed again', lambda: scene.broker.consumers() == 1, 30)


def exchange_deleted(soaked: Soaked) -> None:
    """The exchange that targets publish to is deleted, and declared again by the next publish."""
    scene = soaked.scene
    with soaked.quiet():
        name = binary(scene.cell.framework.out_exchange())
        scene.node.eval(DELETE_EXCHANGE.format(vhost=binary(scene.vhost), name=name))
        probes = scene.publisher.send(1)
        scene.excused.update(probes)  # nobody is bound to the new exchange yet
        scene.wait_finished(probes, WELL_S)
        scene.bind_out()


def dead_queues_deleted(soaked: Soaked) -> None:
    """The queues of dead letters are deleted, and declared again for the next one."""
    scene = soaked.scene
    with soaked.quiet():
        scene.remains.read()  # what is dead by now would go with its queue
        dead = [name for name in scene.broker.queues() if scene.cell.framework.is_dead(name)]
        with scene.client() as client:
            for name in dead:
                client.delete_queue(name)
    failing(soaked, 'target', 'T1', kind='plain')


FAULTS = {
    'Q1': queue_deleted,
    'Q2': exchange_deleted,
    'Q5': lambda soaked: failing(soaked, 'target', 'Q5', unroutable=True),
    'Q8': lambda soaked: asked(soaked, 'Q8', 2),
    'Q10': dead_queues_deleted,
    'M1': lambda soaked: bad(soaked, MALFORMED),
    'M2': lambda soaked: bad(soaked, UNKNOWN),
    'M3': running,
    'M4': forged,
    'M5': lambda soaked: large(soaked, headers=MANY_HEADERS),
    'M6': lambda soaked: large(soaked, filler='x' * 15_000_000),
    'M7': lambda soaked: bad(soaked, exploding()),
    'M8': lambda soaked: failing(soaked, 'target', 'T1', event=RETRIED, kind='plain'),
    'M9': lambda soaked: bad(soaked, SCHEMAS),
    'T1': raising,
    'T2': returning,
    'T7': busy,
    'T8': noisy,
    'T12': slow,
    'T13': lambda soaked: asked(soaked, 'T13', FORKS),
    'H2': lambda soaked: asked(soaked, 'H2', many=FAN_OUT),
    'H3': storm,
}
