"""Q, M: what becomes of a publish that the broker or AMQP will not have, or that is answered too late."""

import os
import signal

from tests.faults.outcomes import TOP
from tests.faults.row import Row
from tests.faults.rows.network import SENDING
from tests.faults.scene import Scene
from tests.faults.service import Service, doing
from tests.support.erlang import MOST_BYTES, SET_MOST_BYTES
from tests.support.sockets import connections, inodes

FULL = 'full'
#: So many targets are refused, each once, and each for as long as a few short delays together, on average.
REFUSALS, LEAST_MEAN_S = 20, 0.04
REFUSED = """\
if payload.get('full'):
    try_to(send, payload, 'full')
send('out', {'id': payload['id']})
"""
LATE_S, PATIENCE_S = 1.5, 0.5
#: Every third publish has no queue; each message's target makes many, up to a hundred at a time.
LATE = """\
from concurrent.futures import ThreadPoolExecutor
def one(number):
    try_to(send, payload, 'out' if number % 3 else 'nowhere', mandatory=True)
with ThreadPoolExecutor(100) as pool:
    list(pool.map(one, range(payload['many'])))
"""
HEADERS = """\
if payload.get('large'):
    try_to(send, payload, 'out', headers={f'h{number}': 'x' * 1000 for number in range(200)})
send('out', {'id': payload['id']})
"""
#: Ten small ones at the same time, which are not to suffer by it.
BODY = """\
from concurrent.futures import ThreadPoolExecutor
bodies = [{'filler': 'x' * 3_000_000}] * payload.get('large', 0) + [{}] * 10
with ThreadPoolExecutor(11) as pool:
    list(pool.map(lambda body: try_to(send, payload, 'filled' if body else 'out', body), bodies))
"""
SMALL = 1_000_000


def queue_full(scene: Scene) -> None:
    """A full queue refuses: the target is told, after a few tries; afterwards the same channel is used."""
    with scene.client() as client:
        client.declare_queue(FULL, arguments={'x-max-length': 1, 'x-overflow': 'reject-publish'})
        client.bind(FULL, scene.cell.framework.out_exchange(), FULL)
    scene.start()
    scene.wait_finished(scene.publisher.send(1, full=True))
    before = scene.broker.channels()
    scene.wait_finished(scene.publisher.send(REFUSALS, full=True), 30)
    scene.wait_finished(scene.publisher.send(10))
    with scene.client() as client:
        scene.check('one message in the full queue', client.purge(FULL) == 1)
    scene.wait_finished(scene.publisher.send(1, full=True))
    told = [outcome.told for outcome in scene.outcomes()]
    scene.check(f'told the truth of each, not {told}', told == ['', *['refused'] * REFUSALS, ''])
    mean_s = sum(outcome.took_s for outcome in scene.outcomes()[1:-1]) / REFUSALS
    scene.check(f'tries with delays before a refusal is told, not {mean_s:.3f} s', mean_s >= LEAST_MEAN_S)
    scene.check('the same channels', before <= scene.broker.channels())
    with scene.client() as client:
        client.delete_queue(FULL)


def late_confirms(scene: Scene) -> None:
    """Confirms come long after publishes were given up: they are nobody else's."""
    scene.start()
    many = 2_500 if scene.full else 400
    scene.proxy.set(down={'mode': 'delay', 'seconds': LATE_S})
    scene.wait_finished(scene.publisher.send(2, many=many), 60)
    late = scene.outcomes()
    scene.check('each is given up', {outcome.told for outcome in late} == {'unknown'})
    # What answers those meets these.
    scene.proxy.set()
    scene.wait_finished(scene.publisher.send(2, many=many), 60)
    mixed = scene.outcomes()[len(late) :]
    own = {'out': '', 'nowhere': 'unroutable'}
    false = [outcome for outcome in mixed if outcome.told not in (own[outcome.event], 'unknown')]
    scene.check(f'no false answer in {len(mixed)}, found {len(false)}', not false)
    scene.hold(LATE_S + 0.3)
    scene.wait_finished(scene.publisher.send(1, many=100))
    last = scene.outcomes()[len(late) + len(mixed) :]
    wrong = [outcome for outcome in last if outcome.told != own[outcome.event]]
    scene.check(f'each its own answer, not {wrong[:3]}', len(last) == 100 and not wrong)


def headers_too_large(scene: Scene) -> None:
    """Headers over a frame would end the connection, so they are not sent."""
    scene.start()
    scene.wait_finished(scene.publisher.send(10))
    before = scene.broker.channels()
    for _ in range(5):
        scene.some(10, 5)
        scene.publisher.send(1, large=True)
    scene.settle()
    told = [outcome.told for outcome in scene.outcomes()]
    scene.check(f'refused unsent, five times, not {told}', told == ['unsendable'] * 5)
    scene.check('the same channels', before <= scene.broker.channels())


def body_too_large(scene: Scene) -> None:
    """A body over the broker's limit makes it close the channel: that one is refused, and no other."""
    usual = scene.node.eval(MOST_BYTES)
    scene.together(lambda: scene.node.eval(SET_MOST_BYTES.format(size=SMALL)))
    scene.start()
    for _ in range(3):
        scene.publisher.send(3)
        scene.publisher.send(1, large=1)
    scene.publisher.send(3)
    scene.settle()
    scene.together(lambda: scene.node.eval(SET_MOST_BYTES.format(size=usual)))
    told = [(outcome.event, outcome.told) for outcome in scene.outcomes()]
    large = told.count(('filled', 'refused'))
    scene.check(f'three are refused, not {large}', large == 3)
    small = told.count(('out', ''))
    scene.check(f'all small ones are sent, not {small} of {len(told) - 3}', small == len(told) - 3 == 150)


def sockets_apart(scene: Scene) -> None:
    """No child, however late it was started, has a socket of its parent's to the broker."""
    scene.start()
    scene.wait_finished(scene.some(20, 4))
    scene.settle()
    look(scene)
    replace_children(scene)
    scene.wait_finished(scene.some(20, 4))
    look(scene)
    scene.proxy.set(now='rst')
    scene.wait_finished(scene.some(20, 4))
    replace_children(scene)
    scene.wait_finished(scene.some(20, 4))
    look(scene)
    scene.check('no frame of one in between those of another', scene.broker.channel_errors() == 0)


def replace_children(scene: Scene) -> None:
    """Kill the children, which have nothing to do, and wait for the next ones."""
    scene.settle()
    olds = set(scene.program.children())
    for pid in olds:
        os.kill(pid, signal.SIGKILL)
    scene.until('as many new children', lambda: len(set(scene.program.children()) - olds) >= len(olds))


def look(scene: Scene) -> None:
    """Compare the sockets of parent and children."""
    to_broker = {connection.inode for connection in connections(scene.program.pid)}
    scene.check('the parent is connected', bool(to_broker))
    children = scene.program.children()
    scene.check('there are children', len(children) >= scene.service.workers)
    shared = {pid: found for pid in children if (found := inodes(pid) & to_broker)}
    scene.check(f'no socket in two processes, found {shared}', not shared)


def noting(body: str, **more: object) -> Service:
    """A service whose target notes what its publishes came to."""
    return doing(body, top=TOP, **more)  # type: ignore[arg-type]


ROWS = (
    Row('Q6', 'full queue refuses publishes', queue_full, noting(REFUSED, workers=4)),
    Row(
        'Q7',
        'late confirms',
        late_confirms,
        noting(LATE, confirm_timeout_s=PATIENCE_S),
        proxied=True,
        quick=False,
    ),
    Row(
        'Q11',
        'children started beside open connections',
        sockets_apart,
        doing(SENDING),
        where='process',
        proxied=True,
    ),
    Row('M5a', 'publishes 200 kB of headers', headers_too_large, noting(HEADERS)),
    Row('M6a', "publishes a body over the broker's limit", body_too_large, noting(BODY), own_node=True),
)
