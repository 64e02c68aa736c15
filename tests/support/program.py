"""A user's program, run as its user runs it: `python main.py` in its folder."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from pathlib import Path
from types import TracebackType

import psutil

from tests.support.patience import PATIENCE_S

TOKEN_VARIABLE = 'TEST_PROGRAM_TOKEN'
#: So many bytes of the output are kept, its end: a program may print a gigabyte.
KEPT = 8_000_000
READ_SIZE = 65_536


class Program:
    """A program in a process of its own, whose output is read as it comes.

    Used as a context manager it is started, and killed with everything it started. Its output is standard
    output and standard error in one, unbuffered; of more than `KEPT` bytes only the end is kept.

    Args:
        folder: where it runs.
        arguments: what follows the interpreter.
        environment: variables on top of ours, of which those of the framework are left out.
        measured: whether coverage measures it too, where a test has its processes measured. That costs each
            100 ms at its start and some 4 us per call, so tests of speed go without.
        python: the interpreter.
    """

    def __init__(
        self,
        folder: Path | str,
        *arguments: str,
        environment: dict[str, str] | None = None,
        measured: bool = True,
        python: str = sys.executable,
    ) -> None:
        self.folder = Path(folder)
        self.command = [python, *(arguments or ('main.py',))]
        self.started_at = 0.0
        self._token = uuid.uuid4().hex
        left_out = ('GREENMICRO_',) if measured else ('GREENMICRO_', 'COVERAGE_')
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(left_out)},
            'PYTHONUNBUFFERED': '1',
            TOKEN_VARIABLE: self._token,
            **(environment or {}),
        }
        self._pieces: deque[bytes] = deque()
        self._kept = 0
        self._ended = False
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __repr__(self) -> str:
        return f'Program({" ".join(self.command)!r}, folder={str(self.folder)!r})'

    def start(self) -> 'Program':
        """Start it and return at once; `started_at` is this moment on the monotonic clock."""
        self.started_at = time.monotonic()
        self._process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        self._reader.start()
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        """All whole lines that it has printed so far, the last `KEPT` bytes of them."""
        return b''.join(list(self._pieces)).decode(errors='replace')

    def wait_for(self, text: str | re.Pattern[str], timeout_s: float = PATIENCE_S) -> re.Match[str]:
        """Wait until its output contains a text, or matches a pattern, and return the match.

        Raises:
            TimeoutError: it did not within the time.
            EOFError: its output ended without it.
        """
        pattern = re.compile(re.escape(text)) if isinstance(text, str) else text
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while (match := pattern.search(self.output)) is None:
                if self._ended:
                    raise EOFError(self._report(f'ended without {pattern.pattern!r}'))
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(
                        self._report(f'did not print {pattern.pattern!r} within {timeout_s} s')
                    )
        return match

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal, to the program alone and not to its children."""
        self._running.send_signal(number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for its end and return the exit code, negative for a signal.

        Raises:
            TimeoutError: it runs on.
        """
        try:
            code = self._running.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(self._report(f'was still running after {timeout_s} s')) from error
        self._reader.join(1.0)  # the last lines
        if self._reader.is_alive() and not self.survivors():  # else one of them holds the output open
            self._reader.join(PATIENCE_S)
        return code

    def stop(self, timeout_s: float = PATIENCE_S) -> int:
        """Send SIGTERM, wait for the end and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def children(self) -> list[int]:
        """The process ids of all it has started that are alive, children of children included."""
        try:
            return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def survivors(self) -> list[int]:
        """The process ids of all that descends from it and is alive, orphans included, itself excluded.

        They are known by a variable in their environment, which they inherit whoever their parent is now.
        """
        return [
            process.pid
            for process in psutil.process_iter()
            if process.pid != self.pid and self._owns(process)
        ]

    def close(self) -> None:
        """Kill it with all that it started, orphans included."""
        if self._process is None:
            return
        for pid in [self.pid] * (self._process.poll() is None) + self.survivors():
            kill(pid)
        self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)

    def __enter__(self) -> 'Program':
        return self.start()

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _running(self) -> 'subprocess.Popen[bytes]':
        assert self._process is not None, 'the program was not started'
        return self._process

    def _read(self) -> None:
        stdout = self._running.stdout
        assert stdout is not None
        rest = b''
        with stdout:
            while data := stdout.read(READ_SIZE):
                # Whole lines, so that nobody finds half a word, but of a very long line a piece.
                lines, end, rest = (rest + data).rpartition(b'\n')
                if len(rest) > READ_SIZE:
                    lines, end, rest = lines + end, rest, b''
                self._keep(lines + end)
        self._keep(rest)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _keep(self, piece: bytes) -> None:
        if not piece:
            return
        with self._changed:
            self._pieces.append(piece)
            self._kept += len(piece)
            while self._kept > KEPT:
                self._kept -= len(self._pieces.popleft())
            self._changed.notify_all()

    def _owns(self, process: psutil.Process) -> bool:
        try:
            return (
                process.environ().get(TOKEN_VARIABLE) == self._token
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            return False

    def _report(self, what: str) -> str:
        return f'{self} {what}; its output:\n{self.output}'


def is_alive(process: psutil.Process) -> bool:
    """Whether a process is there and more than a zombie: it may end while it is asked."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(pid: int) -> None:
    """Kill a process that may be gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
