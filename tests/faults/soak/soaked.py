"""Soaked: the service under soak, its load and its lives, and the measures of each life."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.faults.rows.broker import (
    ADD_USER,
    CHANGE_PASSWORD,
    CLEAR_DISK,
    CLEAR_MEMORY,
    UNSET_ACK_LIMIT,
    permit,
)
from tests.faults.scene import Scene
from tests.faults.soak.leaks import Leaks
from tests.support.erlang import binary
from tests.support.program import Program

#: A pause after each message of the load.
PAUSE_S = 0.02
#: What shows that the service is whole after a fault, and the time it has for that.
WELL, WELL_S = 5, 90.0
#: Threads that have resolved a name, and who waits for them, are gone some 5 s after a new connection: a life
#: is measured so long after its warm-up, and has so long at its end until something is called a leak.
CALM_S, GOES_S = 8.0, 30.0
USER, PASSWORD = 'soaked', 'word'


@dataclass
class Life:
    """One process of the service, from its start to its end.

    Attributes:
        program: the process.
        first: the most that it had after its warm-up; None until then.
        last: the least that it had when it was looked at last.
        faults: how many it has lived through.
        leaks: what it had more of in the end, in words.
    """

    program: Program
    first: Leaks | None = None
    last: Leaks | None = None
    faults: int = 0
    leaks: list[str] = field(default_factory=list)


class Soaked:
    """The service under load.

    Args:
        scene: it plays on.
        warm_up: what each life goes through before it is measured for the first time.

    Attributes:
        lives: of the service, in their order.
        user: as whom the service connects.
    """

    def __init__(self, scene: Scene, warm_up: Callable[['Soaked'], None]) -> None:
        self.scene = scene
        self.warm_up = warm_up
        self.lives: list[Life] = []
        self.user = f'{USER}-{scene.folder.name}'
        self.uri = scene.uri.replace('guest:guest', f'{self.user}:{PASSWORD}')

    def begin(self) -> None:
        """Start the service and the load."""
        names = {'user': binary(self.user), 'vhost': binary(self.scene.vhost)}
        self.scene.node.eval(ADD_USER.format(**names, password=binary(PASSWORD)))
        program = self.start()
        self.scene.publisher.load(PAUSE_S)
        self.next_life(program)

    def start(self, *, ready: bool = True) -> Program:
        """Start a process of the service."""
        return self.scene.start(ready=ready, uri=self.uri)

    def next_life(self, program: Program | None = None) -> None:
        """Go on with a new process, or with one that was started, warmed up and measured."""
        life = Life(program or self.start())
        self.lives.append(life)
        self.warm_up(self)
        self.scene.hold(CALM_S)
        life.first = Leaks.most(self.looks())

    @property
    def life(self) -> Life:
        """The present one."""
        return self.lives[-1]

    def end_life(self) -> None:
        """Compare what the process has now with what it had; before it is ended."""
        if not self.lives or self.life.first is None:
            return  # its warm-up failed, which is told, or was interrupted
        life = self.life
        deadline = time.monotonic() + GOES_S
        while True:
            life.last = Leaks.least(self.looks())
            life.leaks = life.last.against(life.first)
            if not life.leaks or time.monotonic() > deadline:
                break
        for grown in life.leaks:
            told = f'no leak in life {len(self.lives)}, after {life.faults} faults: {grown}'
            self.scene.check(told, False)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """No load, and every message done, for what would take messages along that are there."""
        self.scene.publisher.stop()
        try:
            self.scene.settle(WELL_S)
            yield
        finally:
            self.scene.publisher.load(PAUSE_S)

    def fail(self, reason: str, *names: str) -> None:
        """Have messages fail, and wait until they are dead letters."""
        self.scene.fail_for(reason, *names)
        wanted = len(self.scene.meant_to_fail.keys() - self.scene.remains.dead.keys())
        self.scene.until(f'{names} are dead', lambda: self.scene.broker.dead() >= wanted, WELL_S)

    def look_after(self) -> None:
        """Wait until the service works again; one that has ended by itself is a failure, and replaced."""
        if not self.life.program.running:
            self.scene.check('the service runs on', False)
            self.scene.wait_end(self.life.program)
            self.next_life()
        self.scene.wait_finished(self.scene.publisher.send(WELL), WELL_S)
        self.life.faults += 1
        self.life.last = Leaks.least(self.looks())

    def looks(self) -> list[Leaks]:
        """Measure the present life, a few times."""
        return Leaks.looks(self.life.program, self.scene.cell.framework.tally)

    def change_password(self, password: str) -> None:
        """Change the password of the service's user."""
        names = {'user': binary(self.user), 'password': binary(password)}
        self.scene.node.eval(CHANGE_PASSWORD.format(**names))

    def mend(self) -> None:
        """Undo whatever a fault has left that was not played to its end."""
        scene, node = self.scene, self.scene.node
        if node.pid is None:
            node.start()
        node.resume()
        for cure in (CLEAR_MEMORY, CLEAR_DISK, UNSET_ACK_LIMIT):
            node.eval(cure)
        permit(scene, '.*', self.user)
        self.change_password(PASSWORD)
        scene.proxy.set(now='rst')
        (scene.folder / 'broken').unlink(missing_ok=True)
        time.sleep(1)
