"""Scene: one row in one cell: a vhost, a publisher, a service under test, and what happens to them."""

import re
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from tests.faults.cluster import Cluster
from tests.faults.judge import Evidence, Run
from tests.faults.outcomes import Outcome, read
from tests.faults.publisher import Publisher
from tests.faults.remains import OUT_QUEUE, Remains
from tests.faults.row import Cell, Row
from tests.faults.service import Service, tasks_of
from tests.faults.together import Together
from tests.support.amqp_client import Client
from tests.support.erlang import QueueCounts, binary
from tests.support.ledger import Ledger
from tests.support.program import Program
from tests.support.proxy import Proxy
from tests.support.rabbitmq import Node

POLL_S = 0.02
READY_S = 30.0
CHANNELS = """
Is = fun(Pid) -> (catch rabbit_channel:info(Pid, [vhost])) == [{{vhost, {vhost}}}] end,
lists:filter(Is, rabbit_channel:list()).
"""
NO_QUEUE = QueueCounts(-1, -1, -1)


class Scene:
    """What a row plays on. As a context manager it sets up all but the service, and leaves nothing behind.

    Args:
        row: the row.
        cell: the framework, its mode, the queue type.
        node: a broker that runs.
        folder: an empty folder of its own.
        together: where the cells of the row meet.
        full: whether this is the full tier.

    Attributes:
        publisher: sends the messages.
        proxy: between service and broker, in rows that ask for it.
        program: the service that was started last.
        meant_to_fail: ids that shall end as dead letters, each with its reason, '' for any.
        excused: ids whose output may be missing.
        full: whether this is the full tier, where numbers may be large.
        ledger: what the targets noted.
    """

    proxy: Proxy
    program: Program

    def __init__(
        self, row: Row, cell: Cell, node: Node, folder: Path, together: Together, full: bool
    ) -> None:
        self.row = row
        self.cell = cell
        self.node = node
        self.folder = folder
        self.together = together
        self.full = full
        self.service: Service = row.service
        self.vhost = f'{row.id}-{cell}-{folder.name}'
        self.ledger = Ledger(folder / 'ledger')
        self.publisher = Publisher(
            node.uri(self.vhost), cell.framework.exchange(), row.service.listeners[0].event
        )
        self.queue = cell.framework.queue(row.service.listeners[0])
        self.remains = Remains(node, self.vhost, cell.framework)
        self.meant_to_fail: dict[str, str] = {}
        self.excused: set[str] = set()
        self.remarks: list[str] = []
        self.healed_at: float | None = None
        self.stop_s: float | None = None
        self.exit_code: int | None = None
        self.orphans = 0
        self.unacked = 0
        self.programs: list[Program] = []
        self._ended: list[Program] = []
        self._stack = ExitStack()

    def __enter__(self) -> 'Scene':
        self.folder.mkdir(parents=True, exist_ok=True)
        self.node.create_vhost(self.vhost)
        self._stack.callback(self._delete_vhost)
        if self.row.proxied:
            self.proxy = self._stack.enter_context(Proxy(self.node.port))
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

    def heal(self) -> None:
        """Note that the fault is over."""
        self.healed_at = time.monotonic()

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
        self.until('these messages are finished', lambda: wanted <= self.finished(), timeout_s)

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

    def queues(self) -> dict[str, QueueCounts]:
        """What every queue holds now; asked again while one is being made, which cannot answer."""
        for _ in range(20):
            try:
                return self.node.queues(self.vhost)
            except RuntimeError as error:
                failed = error
                time.sleep(POLL_S)
        raise failed

    def dead(self) -> int:
        """How many dead letters there are."""
        counts = self.queues()
        return sum(queue.ready for name, queue in counts.items() if self.cell.framework.is_dead(name))

    def ready(self) -> int:
        """How many messages the first listener's queue has that no consumer holds."""
        return self.queues().get(self.queue, NO_QUEUE).ready

    def consumers(self) -> int:
        """How many consumers the first listener's queue has; -1 where there is no queue."""
        return self.queues().get(self.queue, NO_QUEUE).consumers

    def channel_errors(self) -> int:
        """How many channel errors the broker has logged for this scene."""
        return len(re.findall(f"hannel error on connection .*vhost: '{self.vhost}'", self.node.log))

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

    def channels(self) -> set[str]:
        """The channels that are open in the scene's vhost, by the broker's names for them."""
        return set(re.findall(r'<[\d.]+>', self.node.eval(CHANNELS.format(vhost=binary(self.vhost)))))

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
        self.until('every message is finished or dead', self._is_settled, timeout_s)

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

    def evidence(self) -> Evidence:
        """All that was seen."""
        sends = any('send(' in listener.body for listener in self.service.listeners)
        return Evidence(
            confirmed=frozenset(self.publisher.confirmed),
            unknown=frozenset(self.publisher.unknown),
            runs=tuple(map(Run.of, self.ledger.lines)),
            dead=self.remains.dead,
            left=self.remains.left,
            meant_to_fail=dict(self.meant_to_fail),
            sent_on=frozenset(self.remains.sent_on) | self.excused if sends else None,
            healed_at=self.healed_at,
            stop_s=self.stop_s,
            exit_code=self.exit_code,
            children=self.orphans,
            unacked=self.unacked,
            remarks=tuple(self.remarks),
        )

    def output(self) -> str:
        """What all services have printed."""
        return '\n'.join(program.output for program in self.programs)

    def _is_settled(self) -> bool:
        missing = self.publisher.confirmed - self.finished() - self.remains.dead.keys()
        if missing and not self.meant_to_fail:
            return False  # without a question to the broker
        counts = self.queues()
        dead = sum(queue.ready for name, queue in counts.items() if self.cell.framework.is_dead(name))
        busy = any(
            queue.ready or queue.unacked
            for name, queue in counts.items()
            if name != OUT_QUEUE and not self.cell.framework.is_dead(name)
        )
        return not busy and len(missing) <= dead

    def _delete_vhost(self) -> None:
        if self.node.pid is not None:
            self.node.delete_vhost(self.vhost)
