"""Player: the test run's side of the process in which rows play beside it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.patience import PATIENCE_S

CHECKOUT = Path(__file__).parents[2]
POLL_S = 0.05


class Player:
    """Has rows play in a process of its own, which ends when this one does.

    Args:
        rows: their ids, in the order in which they are to begin.
    """

    def __init__(self, rows: list[str]) -> None:
        self.rows = rows
        self._folder = tempfile.TemporaryDirectory(prefix='rows-')
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> 'Player':
        """Begin; returns at once."""
        folder = Path(self._folder.name)
        # What the rows show is seen from outside: to measure the code that they run would cost time alone.
        unmeasured = {key: value for key, value in os.environ.items() if not key.startswith('COVERAGE_')}
        with (folder / 'output').open('wb') as output:
            self._process = subprocess.Popen(
                [sys.executable, '-m', 'tests.faults.beside', str(folder), *self.rows],
                cwd=CHECKOUT,
                env=unmeasured,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at the terminal is for the test run, which ends it in order
            )
        return self

    def results(self, row: str) -> list[dict[str, Any]]:
        """Wait until a row is played, and return how it ended in each of its cells.

        Raises:
            RuntimeError: the process ended before; with what it said.
        """
        file = Path(self._folder.name, f'{row}.json')
        while True:
            ended = self._running.poll() is not None
            if file.exists():
                results: list[dict[str, Any]] = json.loads(file.read_text())
                return results
            if ended:
                said = Path(self._folder.name, 'output').read_text(errors='replace')
                raise RuntimeError(f'{row} was not played, exit code {self._running.returncode}: {said}')
            time.sleep(POLL_S)

    def close(self) -> None:
        """End what still plays."""
        assert self._running.stdin is not None
        self._running.stdin.close()
        try:
            self._running.wait(PATIENCE_S)
        finally:
            self._running.kill()
            self._folder.cleanup()

    @property
    def _running(self) -> 'subprocess.Popen[bytes]':
        assert self._process is not None, 'the player was not started'
        return self._process
