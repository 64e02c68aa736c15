"""A private RabbitMQ node: its own ports, data, cookie and epmd, gone without trace when it is closed."""

import atexit
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from tests.support.erlang import COUNT_QUEUES, CREATE_VHOST, DELETE_VHOST, QueueCounts, binary, parse_counts
from tests.support.guard import Guard
from tests.support.node_files import (
    NODE_NAME,
    find_binary,
    find_server,
    node_environment,
    write_node_files,
)
from tests.support.patience import PATIENCE_S
from tests.support.ports import accepts, answers_amqp, free_port

START_LIMIT_S = 2 * PATIENCE_S
STOP_LIMIT_S = PATIENCE_S
POLL_S = 0.02
MOST_CALLERS = 200

_callers = itertools.count()


class Node:
    """One RabbitMQ broker for tests and benchmarks, on loopback, for the user guest.

    Used as a context manager it is started and closed; `stop`, `kill` and `start` in between keep its ports
    and data. It is closed at the interpreter's exit as well, and by a guard process when this one is killed.

    Args:
        config: further lines for rabbitmq.conf.
        name: its Erlang name, where several nodes know each other.
        beside: a running node, whose epmd and cookie it shares.
    """

    def __init__(self, config: str = '', name: str = NODE_NAME, beside: 'Node | None' = None) -> None:
        self.config = config
        self.name = name
        self.beside = beside
        self.port = free_port()
        self.dist_port = free_port()
        self.epmd_port = free_port() if beside is None else beside.epmd_port
        self.folder = Path(tempfile.gettempdir(), f'rabbitmq-{uuid.uuid4().hex}')
        self._environment: dict[str, str] = {}
        self._epmd: subprocess.Popen[bytes] | None = None
        self._beam: subprocess.Popen[bytes] | None = None
        self._guard = Guard(self.folder)

    def __repr__(self) -> str:
        return f'Node(port={self.port}, pid={self.pid}, folder={str(self.folder)!r})'

    @property
    def pid(self) -> int | None:
        """The process id of the running broker, None while it is down."""
        return self._beam.pid if self._beam is not None else None

    @property
    def version(self) -> tuple[int, ...]:
        """The version of the running broker, (4, 0, 5) say, for tests of what differs between them."""
        return tuple(map(int, self.eval('rabbit_misc:version().').strip('"').split('.')))

    @property
    def log(self) -> str:
        """All the broker has logged, and what it said on its console before its log was open."""
        files = [self.folder / 'console.log', self.folder / 'rabbit.log']
        return ''.join(file.read_text(errors='replace') for file in files if file.exists())

    def start(self) -> None:
        """Start the broker and return when it answers the AMQP handshake.

        Raises:
            RuntimeError: there is no RabbitMQ here, or it did not come up, with the end of its log.
        """
        if self._beam is not None:
            return
        server = find_server()
        if not self._environment:
            self._prepare(server)
        self._beam = self._spawn([server])
        self._guard.watch(self._beam.pid)
        try:
            self._wait_until(lambda: answers_amqp(self.port), self._beam)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop the broker by SIGTERM, as an operator would, and return when its process is gone."""
        if self._beam is not None:
            self._beam.terminate()
            self._beam.wait(STOP_LIMIT_S)
            self._forget_beam(self._beam)

    def kill(self) -> None:
        """Kill the broker by SIGKILL, paused or not, and return when its process is gone."""
        if self._beam is not None:
            if self._beam.poll() is None:  # one that did not come up is gone by itself
                os.killpg(self._beam.pid, signal.SIGKILL)
            self._beam.wait(STOP_LIMIT_S)
            self._forget_beam(self._beam)

    def restart(self) -> None:
        """Stop by SIGTERM and start again with the same ports and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the broker (SIGSTOP): its connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused broker run on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill what runs and remove the data."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(STOP_LIMIT_S)
            self._epmd = None
        self._guard.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.close)

    def uri(self, vhost: str = '/') -> str:
        """The AMQP address of a vhost, with user and password."""
        return f'amqp://guest:guest@127.0.0.1:{self.port}/{quote(vhost, safe="")}'

    def create_vhost(self, name: str) -> None:
        """Create a vhost in which guest may do everything."""
        self.eval(CREATE_VHOST.format(vhost=binary(name)))

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost with its queues; connections to it are closed by the broker."""
        self.eval(DELETE_VHOST.format(vhost=binary(name)))

    def queues(self, vhost: str = '/') -> dict[str, QueueCounts]:
        """What every queue of a vhost holds now, classic and quorum alike, by the queue's name."""
        return parse_counts(self.eval(COUNT_QUEUES.format(vhost=binary(vhost))))

    def eval(self, expression: str) -> str:
        """Evaluate Erlang in the broker and return the printed result.

        Some milliseconds through erl_call, where rabbitmqctl takes half a second for anything.

        Args:
            expression: Erlang, ending in a full stop.

        Raises:
            RuntimeError: the broker is down, or the expression failed; with what it said.
        """
        # A name for each caller of a moment: by default all are called c17, and the second is refused.
        caller = f'c{next(_callers) % MOST_CALLERS}'
        target = ['-sname', self.name, '-h', caller, '-c', self._environment['RABBITMQ_ERLANG_COOKIE']]
        command = [find_binary('erl_call'), *target, '-timeout', '30', '-e']
        answer = self._run(command, expression + '\n')
        if not answer.startswith('{ok, '):
            raise RuntimeError(f'RabbitMQ could not evaluate {expression.strip()!r}: {answer}')
        return answer.removeprefix('{ok, ').removesuffix('}')

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl against this node and return what it printed.

        Raises:
            RuntimeError: it failed; with what it said.
        """
        return self._run([find_binary('rabbitmqctl'), '--quiet', '--node', self.name, *arguments])

    def __enter__(self) -> 'Node':
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _spawn(self, command: list[str]) -> 'subprocess.Popen[bytes]':
        # A session of its own keeps Ctrl-C at the terminal from the broker: the test run closes it in time.
        with (self.folder / 'console.log').open('ab') as console:
            return subprocess.Popen(
                command,
                env=self._environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _prepare(self, server: str) -> None:
        atexit.register(self.close)
        self._guard.start()
        self.folder.mkdir(mode=0o700)
        write_node_files(self.folder, self.port, server, self.config)
        ports = (self.port, self.dist_port, self.epmd_port)
        if self.beside is not None:
            cookie = self.beside._environment['RABBITMQ_ERLANG_COOKIE']
            self._environment = node_environment(self.folder, *ports, self.name, cookie)
            return
        self._environment = node_environment(self.folder, *ports, self.name)
        # Our own epmd, up before the broker looks for one: a daemon that Erlang starts outlives every node.
        self._epmd = self._spawn([find_binary('epmd'), '-address', '127.0.0.1', '-port', str(self.epmd_port)])
        self._guard.watch(self._epmd.pid)
        self._wait_until(lambda: accepts(self.epmd_port), self._epmd)

    def _wait_until(self, answering: Callable[[], bool], process: 'subprocess.Popen[bytes]') -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while not answering():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f'RabbitMQ did not come up; the end of its log:\n{self.log[-4000:]}')
            time.sleep(POLL_S)

    def _forget_beam(self, beam: 'subprocess.Popen[bytes]') -> None:
        self._guard.forget(beam.pid)
        self._beam = None

    def _signal(self, number: signal.Signals) -> None:
        if self._beam is None:
            raise RuntimeError(f'the broker is down, it cannot get {number.name}')
        os.killpg(self._beam.pid, number)

    def _run(self, command: list[str], stdin: str = '') -> str:
        done = subprocess.run(
            command,
            input=stdin,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=START_LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            said = f'{done.stdout}\n{done.stderr}'.strip()
            raise RuntimeError(f'{Path(command[0]).name} failed with exit code {done.returncode}: {said}')
        return done.stdout.strip()
