"""A benchmark, run as its user would run it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from gevent.pool import Pool

from tests.support.program import Program

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 180.0


class Ran(NamedTuple):
    """What a benchmark left."""

    output: str
    data: dict[str, Any]


#: What each is run with besides --quick, so that it takes seconds.
OPTIONS: dict[str, tuple[str, ...]] = {
    'modes': ('--seconds', '0.3', '--mode', 'thread', 'greedy_process'),
    'sleepers': ('--messages', '1000', '--workers', '500', '--sleep', '1'),
    'startup': ('--idle', '0.2'),
    'latency': ('--seconds', '0.3'),
    'scale': (
        *('--messages', '200', '--axis', 'queues=1,2', 'body=1000', 'backlog=300'),
        *('workers=5', 'replicas=2'),
    ),
    'limit': ('--seconds', '0.02'),
    'peers': ('--seconds', '0.03', '--peers', 'greenmicro', 'bare', '--part', 'consume', 'publish'),
}
#: They wait most of the time, as for brokers: so many run side by side.
SIDE_BY_SIDE = 3
#: Waits for a benchmark by its name.
Run = Callable[[str], Ran]


@pytest.fixture(scope='session')
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """All benchmarks, begun when the first one is asked for."""
    folder = tmp_path_factory.mktemp('benchmarks')
    pool = Pool(SIDE_BY_SIDE)
    runs = {name: pool.apply_async(run_benchmark, (name, folder)) for name in OPTIONS}
    yield lambda name: runs[name].get()
    pool.kill()


def run_benchmark(name: str, folder: Path) -> Ran:
    script = f'benchmarks/{name}.py'
    arguments = (script, '--quick', '--rounds', '1', '--out', str(folder), *OPTIONS[name])
    with Program(ROOT, *arguments, measured=False) as program:
        assert program.wait(LIMIT_S) == 0, program.output
    data = json.loads((folder / f'{name}.json').read_text())
    assert data['benchmark'] == name
    assert data['command'].startswith(f'python {script} --quick')
    assert {'machine', 'versions', 'rabbitmq', 'options'} <= data.keys()
    chart = folder / f'{name}.png'
    assert chart.exists() or 'No chart: matplotlib is not installed' in program.output
    return Ran(program.output, data)
