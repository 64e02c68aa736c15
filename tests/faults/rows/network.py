"""N: what the network does. The services reach the broker through the proxy; the publisher does not."""

from collections.abc import Callable

from tests.faults.judge import Limits
from tests.faults.row import Row
from tests.faults.scene import AFTER, Scene
from tests.faults.service import doing

BEFORE = 100
SENDING = "time.sleep(0.002)\nsend('out', {'id': payload['id']})"
#: A confirm may be as late as the loss of the link is noticed.
PATIENT = doing(SENDING, confirm_timeout_s=15.0)
#: The broker closes a silent connection after up to three intervals, a client after two and a half.
SERVER_INTERVALS, CLIENT_INTERVALS = 3.5, 2.5
SLACK_S = 1.0


def under_load(scene: Scene, fault: Callable[[], object], heal: Callable[[], object] | None = None) -> None:
    """Start, publish, have a fault come and go, as often as the tier asks, publish on."""
    scene.start()
    scene.publisher.load()
    for _ in scene.faults(BEFORE):
        fault()
        if heal is not None:
            heal()
        scene.heal()


def cut(scene: Scene, how: str) -> None:
    """All connections end at once."""
    under_load(scene, lambda: scene.proxy.set(now=how))


def silence(scene: Scene, way: str, mode: str, intervals: float) -> None:
    """Bytes of one way vanish, or are not read, until somebody notices by heartbeats and connects again."""

    def fault() -> None:
        before = scene.proxy.set(**{way: {'mode': mode}})
        limit_s = intervals * scene.service.heartbeat_s + SLACK_S
        scene.until('a new connection is tried', lambda: scene.proxy.accepted() > before, limit_s)

    under_load(scene, fault, scene.proxy.set)


def unnoticed(scene: Scene, pieces: int, **state: dict[str, object]) -> None:
    """A bad link that works: nothing is to be seen of it but slowness, with which it carries a part of N."""
    scene.start()
    before = scene.proxy.set(**state)
    scene.wait_finished(scene.some(60, pieces), 60)
    scene.check('no reconnect', scene.proxy.accepted() == before)
    scene.proxy.set()


def name_unknown(scene: Scene) -> None:
    """The broker's name is unknown for a while, at start and again later."""
    hosts = scene.folder / 'hosts'
    hosts.touch()
    script = f'mount --bind {hosts} /etc/hosts && exec "$@"'
    within = ('unshare', '--mount', 'sh', '-c', script, 'sh')
    program = scene.start(ready=False, within=within, uri=scene.uri.replace('127.0.0.1', 'broker.test'))
    scene.hold(4)
    scene.check('the service waits', program.running)
    told = program.output.count('broker.test')
    scene.check(f'a line for each connection, not one for each try; found {told}', told <= 4)
    hosts.write_text('127.0.0.1 broker.test\n')
    scene.heal()
    scene.wait_ready(program)
    scene.some(AFTER, 2)
    scene.settle()
    hosts.write_text('')
    scene.proxy.set(now='rst')
    scene.hold(2)
    hosts.write_text('127.0.0.1 broker.test\n')
    scene.some(AFTER, 2)


def narrow(scene: Scene) -> None:
    """64 kbit/s: slow, but while bytes flow nobody is taken for dead."""
    scene.start()
    before = scene.proxy.set(down={'mode': 'rate', 'bytes_per_second': 8000})
    scene.wait_finished(scene.some(8, 200, filler='x' * 10_000), 60)
    scene.check('no reconnect', scene.proxy.accepted() == before)
    scene.proxy.set()


def unreachable(scene: Scene) -> None:
    """A port that refuses, then accepts and says nothing, then works."""
    scene.proxy.set(accept='refuse')
    program = scene.start(ready=False)
    scene.until('it tries', lambda: scene.proxy.accepted() > 0)
    before = scene.proxy.set(accept='tarpit')
    scene.until('it gives up and tries again, twice', lambda: scene.proxy.accepted() > before + 2, 8)
    scene.proxy.set()
    scene.heal()
    scene.wait_ready(program)
    scene.some(AFTER)


ROWS = (
    Row('N1', 'reset of all connections', lambda scene: cut(scene, 'rst'), doing(SENDING), proxied=True),
    Row('N2', 'half close', lambda scene: cut(scene, 'fin'), doing(SENDING), proxied=True),
    Row(
        'N3',
        'blackhole down',
        lambda scene: silence(scene, 'down', 'blackhole', CLIENT_INTERVALS),
        PATIENT,
        proxied=True,
    ),
    Row(
        'N4',
        'blackhole up: acks vanish',
        lambda scene: silence(scene, 'up', 'blackhole', SERVER_INTERVALS),
        PATIENT,
        proxied=True,
    ),
    Row(
        'N6',
        'back-pressure: nothing is read up',
        lambda scene: silence(scene, 'up', 'stall', SERVER_INTERVALS),
        PATIENT,
        proxied=True,
    ),
    Row(
        'N7',
        'delay of 400 to 700 ms',
        lambda scene: unnoticed(scene, 10, down={'mode': 'delay', 'seconds': 0.4, 'jitter': 0.3}),
        doing('time.sleep(0.002)', prefetch=20),
        proxied=True,
    ),
    Row('N14', 'DNS failure, then back', name_unknown, proxied=True, quick=False),
    Row('N8', '64 kbit/s', narrow, doing('', prefetch=8), proxied=True, quick=False),
    Row(
        'N9',
        'writes of 1 to 3 bytes',
        lambda scene: unnoticed(scene, 1, up={'mode': 'slice'}, down={'mode': 'slice'}),
        proxied=True,
    ),
    Row(
        'N13',
        'refused port, then a tarpit, at start',
        unreachable,
        limits=Limits(
            recover_s=3.0
        ),  # a try may have begun just before the heal: its time-out, then the delay
        proxied=True,
    ),
)
