"""Service: a program under test, in a temporary folder, run as its user would run it."""

import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.support.program import Program

from .broker import EVENT, QUEUE, SOURCE
from .processes import ExitWatch, ProcessTree

START_LIMIT_S = 60.0
STOP_LIMIT_S = 60.0

MAIN = """\
import logging
from greenmicro.runner import Runner
from greenmicro.routes import Route
from greenmicro.amqp.entrypoints import EventListener

config = {config!r}
logging.basicConfig(level=logging.INFO, format='%(message)s')
entrypoints = [EventListener({source!r}, {event!r}, route=Route('tasks.work'), queue={queue!r})]
if __name__ == '__main__':
    runner = Runner(entrypoints, config)
    runner.start()
"""

#: Put above a target that counts its calls: each process counts in eight bytes of a file that it maps, so
#: a call costs 0.1 us and no system call. The processes of one service; their threads would race.
COUNTER = """\
import mmap, os

def _counter():
    with open(os.path.join('{folder}', str(os.getpid())), 'w+b') as file:
        file.write(bytes(8))
        file.flush()
        return memoryview(mmap.mmap(file.fileno(), 8)).cast('Q')

DONE = _counter()
"""


class Service:
    """A program in a folder of its own; used as a context manager it is started, and gone at the end.

    Args:
        files: The texts of its files, by their names. `{folder}` stands for a folder for its counters.
        python: Its interpreter.
        arguments: What follows the interpreter.
        environment: Variables on top of ours.
    """

    def __init__(
        self,
        files: Mapping[str, str],
        python: str = sys.executable,
        arguments: Sequence[str] = ('main.py',),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.files = files
        self.folder = Path(tempfile.gettempdir(), f'benchmark-{uuid.uuid4().hex}')
        self.counters = self.folder / 'counters'
        self.program = Program(
            self.folder, *arguments, environment=dict(environment or {}), measured=False, python=python
        )

    @property
    def tree(self) -> ProcessTree:
        """Its processes; ask once and keep it, since it remembers what ended processes took."""
        return ProcessTree(self.program.pid)

    def done(self) -> int:
        """How many calls its targets have counted."""
        files = [Path(entry.path) for entry in os.scandir(self.counters)]
        return sum(int.from_bytes(file.read_bytes(), sys.byteorder) for file in files)

    def wait_ready(self) -> None:
        """Wait until it says that it consumes."""
        self.program.wait_for('ready after', START_LIMIT_S)

    def stop(self, at_signal: Path | None = None) -> float:
        """Send SIGTERM and wait for the end.

        Args:
            at_signal: A file to create right after the signal.

        Returns:
            Seconds from the signal to the end of its process.

        Raises:
            RuntimeError: Its exit code was not 0, or a process of it lives on; with its output.
        """
        ended = ExitWatch(self.program.pid)
        began = time.monotonic()
        self.program.signal(signal.SIGTERM)
        if at_signal is not None:
            at_signal.touch()
        took_s = ended.wait(STOP_LIMIT_S) - began
        code = self.program.wait(STOP_LIMIT_S)
        if code or self.program.survivors():
            raise RuntimeError(f'exit code {code}, left {self.program.survivors()}:\n{self.program.output}')
        return took_s

    def __enter__(self) -> 'Service':
        self.counters.mkdir(parents=True)
        for name, text in self.files.items():
            (self.folder / name).write_text(text.replace('{folder}', str(self.counters)))
        self.program.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.program.close()
        shutil.rmtree(self.folder)


def listener(tasks: str, **config: object) -> Service:
    """Make a service of this framework with one listener on the work queue.

    Args:
        tasks: The text of tasks.py, with a function `work`.
        config: Its config.
    """
    full = {'SERVICE_NAME': 'service', **config}
    main = MAIN.format(config=full, source=SOURCE, event=EVENT, queue=QUEUE)
    return Service({'main.py': main, 'tasks.py': tasks})
