"""A benchmark, run as its user would run it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.program import Program

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0


class Ran(NamedTuple):
    """What a benchmark left."""

    output: str
    data: dict[str, Any]


#: Runs a benchmark by its name with --quick and further options.
Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run_benchmark(name: str, *options: str) -> Ran:
        script = f'benchmarks/{name}.py'
        arguments = (script, '--quick', '--rounds', '1', '--out', str(tmp_path), *options)
        with Program(ROOT, *arguments, measured=False) as program:
            assert program.wait(LIMIT_S) == 0, program.output
        data = json.loads((tmp_path / f'{name}.json').read_text())
        assert data['benchmark'] == name
        assert data['command'].startswith(f'python {script} --quick')
        assert {'machine', 'versions', 'rabbitmq', 'options'} <= data.keys()
        chart = tmp_path / f'{name}.png'
        assert chart.exists() or 'No chart: matplotlib is not installed' in program.output
        return Ran(program.output, data)

    return run_benchmark
