"""B: what the broker does. The publisher suffers it too, and sends on as soon as it can."""

import time
from collections.abc import Callable

from tests.faults.judge import Limits
from tests.faults.outcomes import TOP
from tests.faults.row import Row
from tests.faults.rows.network import BEFORE, PATIENT, SENDING, under_load
from tests.faults.scene import AFTER, Scene
from tests.faults.service import Listener, Service, doing
from tests.support.erlang import binary

#: A service that was refused tries again every so many seconds.
REFUSED_S = 5.0
RAISE_MEMORY = 'vm_memory_monitor:set_vm_memory_high_watermark({absolute, 1}).'
CLEAR_MEMORY = 'vm_memory_monitor:set_vm_memory_high_watermark({absolute, 1000000000}).'
RAISE_DISK = 'rabbit_disk_monitor:set_disk_free_limit(99999000000000).'
CLEAR_DISK = 'rabbit_disk_monitor:set_disk_free_limit(50000000).'
ALARMED = 'rabbit_alarm:get_alarms() =/= [].'
CLOSE_ALL = 'rabbit_networking:close_all_connections("why").'
ACK_LIMIT_S = 3
SET_ACK_LIMIT = (
    f'application:set_env(rabbit, consumer_timeout, {ACK_LIMIT_S}000), '
    'application:set_env(rabbit, channel_tick_interval, 1000).'
)
UNSET_ACK_LIMIT = (
    'application:set_env(rabbit, consumer_timeout, 1800000), '
    'application:set_env(rabbit, channel_tick_interval, 60000).'
)
PERMIT = """
rabbit_auth_backend_internal:set_permissions({user}, {vhost}, {what}, {what}, {what}, <<"tests">>).
"""
CHANGE_PASSWORD = """
rabbit_auth_backend_internal:change_password({user}, {password}, <<"tests">>).
"""
ADD_USER = """
rabbit_auth_backend_internal:add_user({user}, {password}, <<"tests">>),
rabbit_auth_backend_internal:set_permissions({user}, {vhost}, <<".*">>, <<".*">>, <<".*">>, <<"tests">>).
"""
ALTERNATING = """\
if payload.get('sends'):
    while not os.path.exists('../go'):
        time.sleep(0.01)
    send('out', {'id': payload['id']})
else:
    time.sleep(0.02)
"""
FULL_DISK = """\
if payload.get('first'):
    while not os.path.exists('../now'):
        time.sleep(0.01)
    for _ in range(2):
        try_to(send, payload, 'out')
elif 'filler' in payload:
    while not os.path.exists('../go'):
        time.sleep(0.01)
else:
    send('out', {'id': payload['id']})
"""


def killed(scene: Scene) -> None:
    """kill -9 under load, and a start with the same data."""
    under_load(scene, lambda: scene.together(scene.node.kill), lambda: scene.together(scene.node.start))


def restarted(scene: Scene) -> None:
    """A stop as an operator does it, and a start."""
    under_load(scene, lambda: scene.together(scene.node.stop), lambda: scene.together(scene.node.start))


def frozen(scene: Scene) -> None:
    """Connections stay open and nobody answers, for longer than it takes to notice."""

    def fault() -> None:
        scene.together(scene.node.pause)
        scene.hold(25 if scene.full else 7)

    under_load(scene, fault, lambda: scene.together(scene.node.resume))
    scene.until('one consumer, not two', lambda: scene.broker.consumers() == 1)


def absent_at_start(scene: Scene) -> None:
    """The service is there before its broker."""
    scene.together(scene.node.stop)
    program = scene.start(ready=False)
    scene.hold(2)
    scene.check('the service waits for its broker', program.running)
    scene.together(scene.node.start)
    scene.heal()
    scene.wait_ready(program)
    scene.some(AFTER)


def connections_closed(scene: Scene) -> None:
    """An operator closes all connections."""
    under_load(scene, lambda: scene.together(lambda: scene.node.eval(CLOSE_ALL)))


def alarm(scene: Scene, begin: str, end: str) -> None:
    """Consumers go on; a publish fails in time, with an error of its own, and works again afterwards."""
    scene.start()
    backlog = scene.some(BEFORE, 4)
    scene.excused.update(backlog)
    (name,) = scene.publisher.send(1, sends=True)
    scene.fail_for('target', name)
    scene.together(lambda: scene.node.eval(begin))
    scene.until('the alarm is on', lambda: scene.node.eval(ALARMED) == 'true')
    done = len(scene.finished())
    scene.until('consumers go on', lambda: len(scene.finished()) >= min(done + 20, BEFORE))
    patience_s = scene.course.patience(15, len(backlog))
    scene.until('the target runs', lambda: name in scene.ledger.of('S'), patience_s)
    scene.let_go()
    scene.hold(scene.service.confirm_timeout_s + 1)
    scene.together(lambda: scene.node.eval(end))
    scene.heal()
    scene.wait_finished(scene.some(AFTER, 4, sends=True))


def disk_full(scene: Scene) -> None:
    """A backlog fills the broker's disk; a publish fails in time; the backlog's end makes room again."""
    scene.start()
    (name,) = scene.publisher.send(1, first=True)
    scene.until('the target runs', lambda: name in scene.ledger.of('S'))
    scene.publisher.load(0.002, filler='x' * 100_000)
    scene.until('the alarm is on', lambda: scene.node.eval(ALARMED) == 'true', 60)
    (scene.folder / 'now').touch()
    scene.wait_finished([name])
    told = [outcome.told for outcome in scene.outcomes()]
    # The broker says that it takes nothing at the first message that it does not take.
    wanted = f'unknown at most once, then an error of its own, found {told}'
    scene.check(wanted, told in (['unknown', 'blocked'], ['blocked', 'blocked']))
    scene.together(lambda: None)
    scene.let_go()
    scene.publisher.stop(60)
    scene.until('the alarm is over', lambda: scene.node.eval(ALARMED) == 'false', 60)
    scene.heal()
    scene.excused.update(scene.publisher.confirmed)  # they publish nothing, the first but tried
    scene.wait_finished(scene.publisher.send(AFTER))


def ack_limit(scene: Scene) -> None:
    """A target that takes longer than the broker's consumer time-out ends one channel, and no other.

    From 4.3 on it ends but the consumer, of which the log says nothing, and spares those of classic queues.
    """
    scene.together(lambda: scene.node.eval(SET_ACK_LIMIT))
    scene.start()
    channels = scene.broker.channels()
    scene.publisher.send(2)
    spared = scene.node.version >= (4, 3) and scene.cell.queue_type == 'classic'
    ends = time.monotonic() + ACK_LIMIT_S + 6
    while time.monotonic() < ends:
        began = time.monotonic()
        scene.wait_finished(scene.publisher.send(1, 'other'))
        scene.check('others go on within two seconds', time.monotonic() - began < 2)
        scene.hold(0.1)
    kept = channels <= scene.broker.channels()
    scene.check('the consumer is spared' if spared else 'the consumer has a new channel', kept == spared)
    if scene.node.version < (4, 3):
        scene.check('the broker has closed the channel', scene.broker.channel_errors() > 0)
    scene.together(lambda: scene.node.eval(UNSET_ACK_LIMIT))
    scene.publisher.send(2)


def permissions_taken(scene: Scene) -> None:
    """A broker that refuses what it allowed is asked again every few seconds, and no oftener."""
    scene.start()
    scene.some(BEFORE, 2)
    scene.settle()
    permit(scene, '')
    before = scene.proxy.set(now='rst')
    scene.hold(2 * REFUSED_S)
    tries = scene.proxy.accepted() - before
    scene.check(f'a few tries in 10 s on two connections, not {tries}', tries <= 6)
    permit(scene, '.*')
    scene.heal()
    scene.some(AFTER, 2)


def credentials_rotated(scene: Scene) -> None:
    """A user's password is changed, and changed back later, while the service runs."""
    user = f'user-{scene.folder.name}'
    names = {'user': binary(user), 'vhost': binary(scene.vhost)}
    scene.node.eval(ADD_USER.format(**names, password=binary('first')))
    scene.start(uri=scene.uri.replace('guest:guest', f'{user}:first'))
    scene.some(BEFORE, 2)
    scene.settle()
    scene.node.eval(CHANGE_PASSWORD.format(**names, password=binary('second')))
    scene.proxy.set(now='rst')
    scene.hold(REFUSED_S + 1)
    scene.node.eval(CHANGE_PASSWORD.format(**names, password=binary('first')))
    scene.heal()
    scene.some(AFTER, 2)


def permit(scene: Scene, what: str, user: str = 'guest') -> None:
    """Let a user do what matches in the scene's vhost."""
    scene.node.eval(PERMIT.format(user=binary(user), vhost=binary(scene.vhost), what=binary(what)))


def wrong_password(scene: Scene) -> None:
    """Refused at its first start, the service ends with a code, soon, and says what is wrong."""
    program = scene.start(ready=False, uri=scene.uri.replace('guest:guest', 'guest:secret-word'))
    scene.check('an exit code that says so', scene.wait_end() != 0)
    scene.check('the user is named', 'guest' in program.output)
    scene.check('the password is not', 'secret-word' not in program.output)
    scene.start()
    scene.some(10)


def on_own(row: str, title: str, play: Callable[[Scene], None], **more: object) -> Row:
    """A row that the whole broker suffers."""
    return Row(row, title, play, **{'service': PATIENT, 'own_node': True, **more})  # type: ignore[arg-type]


ALARM = doing(ALTERNATING, confirm_timeout_s=2.0, workers=3)
ACK_LIMIT = Service((Listener('time.sleep(5)'), Listener('', 'other', 'quick')), workers=4)
ROWS = (
    on_own('B1', 'broker killed and restarted', killed),
    on_own('B2', 'broker stopped and started', restarted),
    on_own('B3', 'broker frozen, then running on', frozen, service=doing(SENDING, confirm_timeout_s=40.0)),
    on_own('B4', 'broker absent at start', absent_at_start, limits=Limits(recover_s=5.0)),
    on_own('B5', 'all connections closed by an operator', connections_closed),
    on_own('B6', 'memory alarm', lambda scene: alarm(scene, RAISE_MEMORY, CLEAR_MEMORY), service=ALARM),
    on_own('B7', 'disk alarm', lambda scene: alarm(scene, RAISE_DISK, CLEAR_DISK), service=ALARM),
    on_own(
        'B7a',
        'full disk',
        disk_full,
        service=doing(FULL_DISK, confirm_timeout_s=2.0, workers=3, top=TOP),
        queue_types=('classic',),  # the log of quorum queues keeps what is consumed, up to 512 MB
        small_disk=True,
        quick=False,
    ),
    on_own('B8', 'consumer time-out', ack_limit, service=ACK_LIMIT),
    Row(
        'B9',
        'permissions taken away and given back',
        permissions_taken,
        doing(SENDING),
        Limits(recover_s=REFUSED_S + 1),
        proxied=True,
    ),
    Row(
        'B11',
        'credentials rotated while running',
        credentials_rotated,
        doing(SENDING),
        Limits(recover_s=REFUSED_S + 1),
        proxied=True,
        quick=False,
    ),
    Row('B9a', 'wrong password at start', wrong_password),
)
