"""What targets did, written by themselves to a file: one line each, never through the broker."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.support.patience import PATIENCE_S

#: A tasks.py whose target notes its start and its end; `work` goes between, indented by four blanks.
TASKS = """\
import os
import time

LEDGER = os.open({path!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note(*words):
    os.write(LEDGER, (' '.join(map(str, words)) + '\\n').encode())


def work(payload, **dependencies):
    note('S', payload['id'], os.getpid())
{body}
    note('F', payload['id'], os.getpid())
"""

POLL_S = 0.01
#: So much of the end of a ledger is read for what runs now, and a whole line has more words than these.
TAIL, TAIL_WORDS = 100_000, 2


class Ledger:
    """The lines that targets wrote: `S id pid` at the start of a run, `F id pid` at its end.

    Args:
        path: the file, which the first target creates.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_to = 0
        self._finished: set[str] = set()

    def tasks(self, body: str = '') -> str:
        """The source of a tasks.py whose target `work` does what the lines of `body` say."""
        indented = '\n'.join(f'    {line}' for line in body.splitlines())
        return TASKS.format(path=str(self.path), body=indented)

    @property
    def lines(self) -> list[list[str]]:
        """All lines so far, split into words."""
        return list(self.read())

    def read(self) -> Iterator[list[str]]:
        """The same one by one, of which there may be millions."""
        if self.path.exists():
            with self.path.open() as file:
                for line in file:
                    yield line.split()

    def of(self, kind: str) -> Counter[str]:
        """How often each id has a line of a kind."""
        return Counter(line[1] for line in self.read() if line[0] == kind)

    def finished(self) -> set[str]:
        """The ids with a line `F`; only what is new is read, since the file may have millions of lines."""
        if self.path.exists():
            with self.path.open('rb') as file:
                file.seek(self._read_to)
                whole = file.read().rpartition(b'\n')[0]
            self._read_to += len(whole) + bool(whole)
            lines = [line.split() for line in whole.decode().splitlines()]
            self._finished.update(words[1] for words in lines if words[0] == 'F')
        return self._finished

    def begun(self) -> dict[str, int]:
        """The ids that were started last, each with the process; for a look at what runs now."""
        if not self.path.exists():
            return {}
        with self.path.open('rb') as file:
            file.seek(max(0, self.path.stat().st_size - TAIL))
            lines = [line.split() for line in file.read().decode().splitlines()[1:]]
        return {words[1]: int(words[2]) for words in lines if words[0] == 'S' and len(words) > TAIL_WORDS}

    @property
    def pids(self) -> set[int]:
        """The processes that targets ran in."""
        return {int(line[2]) for line in self.lines if line[0] == 'S'}

    def wait_for(self, kind: str, count: int, timeout_s: float = PATIENCE_S) -> None:
        """Return when so many different ids have a line of a kind.

        Raises:
            TimeoutError: they do not in time.
        """
        deadline = time.monotonic() + timeout_s
        while len(self.of(kind)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f'{len(self.of(kind))} of {count} ids have a line {kind!r}')
            time.sleep(POLL_S)
