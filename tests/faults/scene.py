"""Scene: one row in one cell: a vhost, a publisher, a service under test, and what happens to them."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from tests.faults.broker_side import BrokerSide
from tests.faults.cluster import Cluster
from tests.faults.outcomes import Outcome, read
from tests.faults.publisher import Publisher
from tests.faults.remains import OUT_QUEUE, Remains
from tests.faults.row import Cell, Row
from tests.faults.service import Service, tasks_of
from tests.faults.tier import QUICK, Course, Tier
from tests.faults.together import Together
from tests.support.amqp_client import Client
from tests.support.ledger import Ledger
from tests.support.program import Program
from tests.support.proxy import Proxy
from tests.support.rabbitmq import Node

POLL_S = 0.02
READY_S = 30.0
#: How many messages show that the service is at work again.
AFTER = 50
#: RabbitMQ 3.10, killed, forgets quorum queues that are younger than 0.9 s.
YOUNG_S = 2.0


class Scene:
    """What a row plays on. As a context manager it sets up all but the service, and leaves nothing behind.

    Args:
        row: the row.
        cell: the framework, its mode, the queue type.
        node: a broker that runs.
        folder: an empty folder of its own.
        together: where the cells of the row meet.
        tier: how much is played, and the seed.

    Attributes:
        publisher: sends the messages.
        broker: what the broker says of the scene.
        course: what the seed decides.
        proxy: between service and broker, in rows that ask for it.
        program: the service that was started last.
        meant_to_fail: ids that shall end as dead letters, each with its reason, '' for any.
        excused: ids whose output may be missing.
        full: whether numbers may be large.
        ledger: what the targets noted.
    """

    proxy: Proxy
    program: Program

    def __init__(
        self, row: Row, cell: Cell, node: Node, folder: Path, together: Together, tier: Tier = QUICK
    ) -> None:
        self.row = row
        self.cell = cell
        self.node = node
        self.folder = folder
        self.together = together
        self.full = tier.full
        self.course = Course(tier, row.id, str(cell))
        self.service: Service = row.service
        self.vhost = f'{row.id}-{cell}-{folder.name}'
        self.ledger = Ledger(folder / 'ledger')
        self.publisher = Publisher(
            node.uri(self.vhost),
            cell.framework.exchange(),
            row.service.listeners[0].event,
            self.course,
            lambda: len(self.finished()),
        )
        self.queue = cell.framework.queue(row.service.listeners[0])
        self.broker = BrokerSide(node, self.vhost, cell.framework, self.queue)
        self.remains = Remains(node, self.vhost, cell.framework)
        self.meant_to_fail: dict[str, str] = {}
        self.excused: set[str] = set()
        self.remarks: list[str] = []
        self.heals: list[float] = []
        self.stop_s: float | None = None
        self.exit_code: int | None = None
        self.orphans = 0
        self.faulted = 1
        self.unacked = 0
        self.programs: list[Program] = []
        self._ended: list[Program] = []
        self._stack = ExitStack()

    def __enter__(self) -> 'Scene':
        self.folder.mkdir(parents=True, exist_ok=True)
        self.node.create_vhost(self.vhost)
        self._stack.callback(self._delete_vhost)
        if self.row.proxied:
            self.proxy = self._stack.enter_context(Proxy(self.node.port, self.course.link_seed))
        self.bind_out()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self, *, ready: bool = True, uri: str | None = None, within: Iterable[str] = ()) -> Program:
        """Start the service; further calls start further ones.

        Args:
            ready: whether to wait until it consumes.
            uri: where it finds the broker, if not where it is.
            within: a command that becomes the command after it, as `env` does, or `nsenter`.
        """
        folder = self.folder / str(len(self.programs))
        folder.mkdir()
        framework = self.cell.framework
        framework.write(folder, uri or self.uri, self.cell.mode, self.cell.queue_type, self.service)
        (folder / 'tasks.py').write_text(tasks_of(self.service, str(self.ledger.path)))
        command = [*within, framework.python(), 'main.py']
        self.program = Program(folder, *command[1:], measured=False, python=command[0])
        self.programs.append(self._stack.enter_context(self.program))
        if ready:
            self.wait_ready(self.program)
        return self.program

    def wait_ready(self, program: Program) -> None:
        """Wait until a service consumes."""
        program.wait_for(self.cell.framework.ready, READY_S)

    def faults(self, before: int) -> Iterator[None]:
        """Yield under load when a fault is due, as often as the tier asks; wait for the rest of the load.

        Args:
            before: how many messages are confirmed before the only fault of the short tiers.
        """
        if self.course.tier.count:
            self.hold(YOUNG_S)
        for number, point in enumerate(self.course.moments(before)):
            if number:  # else the fault would come while the last one lasts, and the recovery take both
                done = len(self.finished())
                self.until('work goes on', lambda done=done: len(self.finished()) >= done + AFTER, 60)  # type: ignore[misc]
            self.faulted = number + 1
            self.publisher.reach(point)
            yield
            self.publisher.wait_for(AFTER)
        self.publisher.reach(self.course.tier.count or 0)

    def some(self, few: int, pieces: int = 1, **fields: object) -> list[str]:
        """Publish some messages: few in the short tiers, of the long one's N a part; return their ids."""
        return self.publisher.send(self.course.some(few, pieces), **fields)

    def heal(self) -> None:
        """Note that a fault is over."""
        self.heals.append(time.monotonic())

    def check(self, wanted: str, holds: bool) -> None:
        """Have the row fail with a sentence unless something holds."""
        if not holds:
            self.remarks.append(f'wanted: {wanted}')

    def hold(self, seconds: float) -> None:
        """Let a fault last."""
        time.sleep(seconds)

    def fail_for(self, reason: str, *names: str) -> None:
        """Say that messages are meant to become dead letters."""
        self.meant_to_fail.update(dict.fromkeys(names, reason))

    def wait_finished(self, names: Iterable[str], timeout_s: float = 15.0) -> None:
        """Wait until targets have finished these messages."""
        wanted = set(names)
        patience_s = self.course.patience(timeout_s, len(wanted))
        self.until('these messages are finished', lambda: wanted <= self.finished(), patience_s)

    def once(self) -> bool:
        """Whether no message that was not meant to fail has been started twice."""
        starts = self.ledger.of('S').items()
        return all(count == 1 for name, count in starts if name not in self.meant_to_fail)

    def bind_out(self) -> None:
        """Have what targets publish kept in a queue."""
        with self.client() as client:
            exchange = client.declare_exchange(self.cell.framework.out_exchange())
            # In a cluster a classic queue is away with its node, and what is published to it then is dropped.
            kind = {'x-queue-type': 'quorum'} if self.row.cluster else None
            client.bind(client.declare_queue(OUT_QUEUE, arguments=kind), exchange, 'out')

    def let_go(self) -> None:
        """Make the file that waiting targets look for, beside the folders of the services."""
        (self.folder / 'go').touch()

    def hold_back(self) -> None:
        """Have targets wait again."""
        (self.folder / 'go').unlink()

    def until(self, wanted: str, holds: Callable[[], bool], timeout_s: float = 15.0) -> None:
        """Wait for something.

        Raises:
            TimeoutError: it did not come to that.
        """
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f'not within {timeout_s} s: {wanted}')
            time.sleep(POLL_S)

    def outcomes(self) -> list[Outcome]:
        """What targets were told of their publishes, in the harness's words, '' for a confirm."""
        words = self.cell.framework.errors
        noted = read(self.folder / 'outcomes')
        return [outcome._replace(told=words.get(outcome.told, outcome.told)) for outcome in noted]

    def finished(self) -> set[str]:
        """The ids that targets have finished."""
        return self.ledger.finished()

    def settle(self, timeout_s: float = 30.0) -> None:
        """Stop the loads and wait until every message is finished or dead and no queue holds one."""
        self.publisher.stop()
        patience_s = self.course.patience(timeout_s, len(self.publisher.confirmed))
        self.until('every message is finished or dead', self._is_settled, patience_s)

    def stop(self, program: Program | None = None) -> int:
        """Stop a service by SIGTERM and return its exit code."""
        (program or self.program).signal()
        return self.wait_end(program)

    def wait_end(self, program: Program | None = None) -> int:
        """Wait for the end of a service that was told to end, note how long it took; return its exit code."""
        program = program or self.program
        began = time.monotonic()
        code = program.wait(self.service.grace_s + 10)
        self.stop_s = max(self.stop_s or 0.0, time.monotonic() - began)
        self._ended.append(program)
        return code

    def finish(self) -> None:
        """Come to an end in order: everything settled, every service stopped."""
        for program in self.programs:
            if not program.running and program not in self._ended:
                self.remarks.append(f'a service ended by itself, exit code {program.wait()}')
        running = [program for program in self.programs if program.running]
        if running:
            self.settle()
        for program in running:
            self.exit_code = max(self.exit_code or 0, abs(self.stop(program)))
        self.publisher.stop()

    def collect(self) -> None:
        """Take stock, whatever has happened before: kill what still runs, read what remains in the broker."""
        self.orphans = sum(len(program.survivors()) for program in self.programs if not program.running)
        for program in self.programs:
            program.close()
        self.unacked = self.remains.unacked()
        self.remains.read()

    @property
    def uri(self) -> str:
        """Where the service finds the broker."""
        if isinstance(self.node, Cluster):
            return self.node.hosts(self.vhost)
        uri = self.node.uri(self.vhost)
        return uri.replace(f':{self.node.port}', f':{self.proxy.port}') if self.row.proxied else uri

    def client(self) -> Client:
        """Another program's client."""
        return Client(self.node.uri(self.vhost))

    def output(self) -> str:
        """What all services have printed."""
        return '\n'.join(program.output for program in self.programs)

    def _is_settled(self) -> bool:
        confirmed, done = self.publisher.confirmed, self.finished()
        if not self.meant_to_fail and len(done) + len(self.remains.dead) < len(confirmed):
            return False  # not even to be compared, which takes long with a million
        missing = confirmed - done - self.remains.dead.keys()
        if missing and not self.meant_to_fail:
            return False  # without a question to the broker
        busy, dead = self.broker.counts()
        return not busy and len(missing) <= dead

    def _delete_vhost(self) -> None:
        if self.node.pid is not None:
            self.node.delete_vhost(self.vhost)
