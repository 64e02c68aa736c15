"""N and B in the soak: what happens to the soaked service's own link and to its broker, under its load."""

import time

from tests.faults.rows.broker import (
    ACK_LIMIT_S,
    ALARMED,
    CLEAR_DISK,
    CLEAR_MEMORY,
    CLOSE_ALL,
    RAISE_DISK,
    RAISE_MEMORY,
    REFUSED_S,
    SET_ACK_LIMIT,
    UNSET_ACK_LIMIT,
    permit,
)
from tests.faults.soak.soaked import PASSWORD, Soaked

#: As long as it takes to notice a dead peer, and as a slow link is to last.
SILENT_S, SLOW_S = 8.0, 5.0
FROZEN_S, ALARM_S = 10.0, 3.0
BLACKHOLE, STALL = {'mode': 'blackhole'}, {'mode': 'stall'}


def bent(soaked: Soaked, seconds: float, **state: object) -> None:
    """A bad link for a while."""
    soaked.scene.proxy.set(**state)
    soaked.scene.hold(seconds)
    soaked.scene.proxy.set()


def unnoticed(soaked: Soaked, **state: object) -> None:
    """A slow link that works: no reconnect."""
    before = soaked.scene.proxy.accepted()
    bent(soaked, SLOW_S, **state)
    soaked.scene.check('no reconnect', soaked.scene.proxy.accepted() == before)


def cut(soaked: Soaked, how: str) -> None:
    """All connections end."""
    soaked.scene.proxy.set(now=how)


def cuts(soaked: Soaked, count: int) -> None:
    """Links die while targets run that publish afterwards."""
    soaked.scene.publisher.send(8, row='slow', sleep_s=0.5)
    for _ in range(count):
        cut(soaked, 'rst')
        soaked.scene.hold(0.3)


def unreachable(soaked: Soaked) -> None:
    """A port that refuses, then accepts and says nothing."""
    soaked.scene.proxy.set(accept='refuse', now='rst')
    soaked.scene.hold(3)
    bent(soaked, 4, accept='tarpit')


def killed(soaked: Soaked) -> None:
    """kill -9 of the broker, and a start with the same data."""
    soaked.scene.node.kill()
    soaked.scene.node.start()


def frozen(soaked: Soaked) -> None:
    """A broker that answers nobody, longer than it takes to notice."""
    soaked.scene.node.pause()
    time.sleep(FROZEN_S)
    soaked.scene.node.resume()
    soaked.scene.until('one consumer', lambda: soaked.scene.broker.consumers() == 1, 30)


def alarm(soaked: Soaked, begin: str, end: str) -> None:
    """The broker takes no messages for a moment."""
    node = soaked.scene.node
    node.eval(begin)
    soaked.scene.until('the alarm is on', lambda: node.eval(ALARMED) == 'true')
    soaked.scene.hold(ALARM_S)
    node.eval(end)


def ack_limit(soaked: Soaked) -> None:
    """A target takes longer than the consumer time-out; the broker closes its channel."""
    scene = soaked.scene
    scene.node.eval(SET_ACK_LIMIT)
    cut(soaked, 'rst')  # channels that are made from now on are looked at every second
    scene.hold(1)
    before = scene.broker.channel_errors()
    names = scene.publisher.send(1, row='slow', sleep_s=ACK_LIMIT_S + 3)
    scene.until('the channel is closed', lambda: scene.broker.channel_errors() > before, 20)
    scene.node.eval(UNSET_ACK_LIMIT)
    scene.wait_finished(names, 30)
    cut(soaked, 'rst')


def permissions(soaked: Soaked) -> None:
    """The broker refuses what it allowed, for a while."""
    permit(soaked.scene, '', soaked.user)
    cut(soaked, 'rst')
    soaked.scene.hold(REFUSED_S + 1)
    permit(soaked.scene, '.*', soaked.user)


def credentials(soaked: Soaked) -> None:
    """The password is another one, for a while."""
    soaked.change_password('another')
    cut(soaked, 'rst')
    soaked.scene.hold(REFUSED_S + 1)
    soaked.change_password(PASSWORD)


FAULTS = {
    'N1': lambda soaked: cut(soaked, 'rst'),
    'N2': lambda soaked: cut(soaked, 'fin'),
    'N3': lambda soaked: bent(soaked, SILENT_S, down=BLACKHOLE),
    'N4': lambda soaked: bent(soaked, SILENT_S, up=BLACKHOLE),
    'N6': lambda soaked: bent(soaked, SILENT_S, up=STALL),
    'N7': lambda soaked: unnoticed(soaked, down={'mode': 'delay', 'seconds': 0.4, 'jitter': 0.3}),
    'N8': lambda soaked: unnoticed(soaked, down={'mode': 'rate', 'bytes_per_second': 8000}),
    'N9': lambda soaked: unnoticed(soaked, up={'mode': 'slice'}, down={'mode': 'slice'}),
    'N13': unreachable,
    'B1': killed,
    'B2': lambda soaked: soaked.scene.node.restart(),
    'B3': frozen,
    'B5': lambda soaked: soaked.scene.node.eval(CLOSE_ALL),
    'B6': lambda soaked: alarm(soaked, RAISE_MEMORY, CLEAR_MEMORY),
    'B7': lambda soaked: alarm(soaked, RAISE_DISK, CLEAR_DISK),
    'B8': ack_limit,
    'B9': permissions,
    'B11': credentials,
    'Q9': lambda soaked: cuts(soaked, 5),
    'T11': lambda soaked: cuts(soaked, 2),
}
