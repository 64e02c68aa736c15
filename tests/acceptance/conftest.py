"""A user's folder with main.py and tasks.py, run by `python main.py`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.ledger import Ledger
from tests.support.program import Program

MODES = ('thread', 'greedy_thread', 'process', 'greedy_process')

MAIN = """\
import logging
from greenmicro.runner import Runner
from greenmicro.routes import Route
from greenmicro.amqp.entrypoints import EventListener
from greenmicro.amqp.dependencies import Producer
{imports}
config = {config!r}
logging.basicConfig(level=logging.INFO, format='%(message)s')
entrypoints = {entrypoints}
if __name__ == '__main__':
    runner = Runner(entrypoints, config)
    runner.start()
"""
LISTENER = "[EventListener('source', 'event', route=Route('tasks.work'))]"

#: Writes a service into the test's folder and returns its program, not yet started.
Write = Callable[..., Program]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Each WORKER_MODE in turn."""
    return str(request.param)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """What the service's targets did."""
    return Ledger(tmp_path / 'ledger')


@pytest.fixture
def write(tmp_path: Path, ledger: Ledger) -> Iterator[Write]:
    """Write main.py and tasks.py; the programs are killed at the end of the test."""
    programs: list[Program] = []

    def write_program(
        amqp_uri: str,
        mode: str = 'thread',
        *,
        tasks: str | None = None,
        entrypoints: str = LISTENER,
        imports: str = '',
        **config: object,
    ) -> Program:
        full = {'AMQP_URI': amqp_uri, 'SERVICE_NAME': 'service', 'WORKER_MODE': mode, 'MAX_WORKERS': 2}
        (tmp_path / 'main.py').write_text(
            MAIN.format(config={**full, **config}, entrypoints=entrypoints, imports=imports)
        )
        (tmp_path / 'tasks.py').write_text(ledger.tasks() if tasks is None else tasks)
        programs.append(Program(tmp_path))
        return programs[-1]

    yield write_program
    for program in programs:
        program.close()
