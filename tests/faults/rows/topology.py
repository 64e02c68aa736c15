"""Q: what happens to queues and exchanges, and what becomes of publishing."""

from tests.faults.broker_side import NO_QUEUE
from tests.faults.judge import Limits
from tests.faults.row import Row
from tests.faults.rows.network import BEFORE, SENDING, under_load
from tests.faults.scene import Scene
from tests.faults.service import Listener, Service, doing
from tests.support.erlang import binary

#: Targets wait until the row lets them go on.
UNTIL_TOLD = "while not os.path.exists('../go'):\n    time.sleep(0.01)"
DELETE_EXCHANGE = 'rabbit_exchange:delete({{resource, {vhost}, exchange, {name}}}, false, <<"tests">>).'
POLICY = """
rabbit_policy:set({vhost}, <<"few">>, <<".*">>, [{{<<"delivery-limit">>, 8}}], 0, <<"queues">>, <<"tests">>).
"""
PENDING = 100


def queue_deleted(scene: Scene) -> None:
    """A queue is deleted under its consumer: declared, bound and consumed again."""
    scene.start()
    scene.some(BEFORE, 2)
    scene.settle()
    with scene.client() as client:
        client.delete_queue(scene.queue)
    scene.heal()
    scene.until('the queue is consumed again', lambda: scene.broker.consumers() == 1)
    scene.some(BEFORE, 2)


def exchange_deleted(scene: Scene) -> None:
    """The exchange that targets publish to is deleted: a publish finds out, and declares it again."""
    scene.start()
    scene.some(BEFORE, 2)
    scene.settle()
    exchange = scene.cell.framework.out_exchange()
    scene.node.eval(DELETE_EXCHANGE.format(vhost=binary(scene.vhost), name=binary(exchange)))
    probes = scene.publisher.send(1)
    scene.excused.update(probes)  # nobody is bound to the new exchange yet
    scene.wait_finished(probes)
    scene.bind_out()
    scene.heal()
    scene.some(BEFORE, 2)


def declared_otherwise(scene: Scene) -> None:
    """A queue that exists with other arguments stops the start, which names it."""
    other = 'classic' if scene.cell.queue_type == 'quorum' else 'quorum'
    with scene.client() as client:
        client.declare_queue(scene.queue, arguments={'x-queue-type': other})
    program = scene.start(ready=False)
    scene.check('an exit code that says so', scene.wait_end() != 0)
    scene.check('the queue is named', scene.queue in program.output)
    scene.check('the argument is named', 'x-queue-type' in program.output)
    with scene.client() as client:
        client.delete_queue(scene.queue)
    scene.start()
    scene.some(10)


def unroutable(scene: Scene) -> None:
    """A target whose mandatory event nobody listens to gets an error; the next one is not confused."""
    scene.start()
    for _ in range(10):
        scene.some(5, 10)
        names = scene.publisher.send(1, unroutable=True)
        scene.fail_for('target', *names)


def dead_queue_deleted(scene: Scene) -> None:
    """The queue of dead letters is deleted: it is declared again, or the message stays."""
    scene.start()
    for _ in range(3):
        scene.some(10, 3)
        scene.fail_for('target', *scene.publisher.send(1, unroutable=True))
        scene.settle()
        scene.remains.read()  # what is dead by now would go with its queue
        dead = [name for name in scene.broker.queues() if scene.cell.framework.is_dead(name)]
        with scene.client() as client:
            for name in dead:
                client.delete_queue(name)


def cut_inside_targets(scene: Scene, cuts: int) -> None:
    """Links die while targets run, which publish afterwards; their outputs come before their acks."""

    def fault() -> None:
        for _ in range(cuts):
            scene.proxy.set(now='rst')
            scene.hold(0.3)

    under_load(scene, fault)
    scene.check('no settlement on a stale channel', scene.broker.channel_errors() == 0)


def all_are_held(scene: Scene) -> bool:
    """Whether the service holds what it may; of a copy whose confirm went with a link there may be two."""
    counts = scene.broker.queues().get(scene.queue, NO_QUEUE)
    return counts.ready == 0 or counts.unacked == PENDING


def given_back(scene: Scene) -> None:
    """Messages are given back by lost links and stops oftener than the queue allows a failing one."""
    scene.node.eval(POLICY.format(vhost=binary(scene.vhost)))
    scene.start()
    scene.publisher.send(PENDING)
    for _ in range(12):
        scene.until('all are held', lambda: all_are_held(scene))
        scene.proxy.set(now='rst')
        scene.until('a new channel', lambda: scene.broker.consumers() == 1)
    for _ in range(12 if scene.full else 2):
        scene.until('all are held', lambda: all_are_held(scene))
        scene.let_go()
        scene.stop()
        scene.hold_back()
        scene.start()
    scene.let_go()


def publishes_in_flight(scene: Scene) -> None:
    """Hundreds of publishes at once in one target, each with its own result."""
    scene.start()
    names = scene.publisher.send(4 if scene.full else 2)
    scene.wait_finished(names, 60)
    wanted = len(names) * MANY
    with scene.client() as client:
        found, _ = client.queue_counts('out')
    scene.check(f'{wanted} outputs, found {found}', found == wanted)


MANY = 500
#: As many at a time as the place allows: greenlets where threads are patched, threads where not.
IN_FLIGHT = f"""\
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(100) as pool:
    list(pool.map(lambda _: send('out', {{'id': payload['id']}}), range({MANY})))
"""
UNROUTABLE = """\
if payload.get('unroutable'):
    send('nowhere', {'id': payload['id']}, mandatory=True)
send('out', {'id': payload['id']})
"""
SLOW = doing('time.sleep(0.2)\n' + SENDING, workers=8, confirm_timeout_s=15.0)
ROWS = (
    Row('Q1', 'queue deleted under its consumer', queue_deleted, doing(SENDING)),
    Row('Q2', 'exchange deleted', exchange_deleted, doing(SENDING)),
    Row('Q4', 'queue declared with other arguments', declared_otherwise),
    Row('Q5', 'unroutable', unroutable, doing(UNROUTABLE)),
    Row('Q10', 'dead queue deleted', dead_queue_deleted, doing(UNROUTABLE), quick=False),
    Row('Q8', 'publishes from 100 greenlets or threads', publishes_in_flight, doing(IN_FLIGHT)),
    Row(
        'Q9',
        'links die under publishing targets',
        lambda scene: cut_inside_targets(scene, 5),
        SLOW,
        proxied=True,
    ),
    Row(
        'Q12',
        'give-backs beyond the delivery limit',
        given_back,
        Service((Listener(UNTIL_TOLD),), prefetch=PENDING),
        Limits(recover_s=None),
        queue_types=('quorum',),
        proxied=True,
    ),
)
