"""What a benchmark hands over: tables on the screen, and a JSON file with machine, versions and command."""

import functools
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from greenmicro import __version__

from . import ROOT

PACKAGES = ('gevent', 'greenlet', 'kombu', 'amqp')


class Spread:
    """The median of some rounds, and how far they lie apart.

    Args:
        values: One of each round.
    """

    def __init__(self, values: Iterable[float]) -> None:
        self.values = list(values)

    @property
    def median(self) -> float:
        """Their median."""
        return statistics.median(self.values)

    def data(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            'median': self.median,
            'min': min(self.values),
            'max': max(self.values),
            'rounds': self.values,
        }

    def shown(self, form: str = '.0f') -> str:
        """The median, and lowest and highest where there are several: `120 (115-131)`."""
        if len(self.values) == 1:
            return f'{self.median:{form}}'
        return f'{self.median:{form}} ({min(self.values):{form}}-{max(self.values):{form}})'


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table that reads well on a screen and is Markdown as well; all columns but the first two right."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [list(headers), *texts]) for column in range(len(headers))]
    left = [column < 2 and not _numeric(texts, column) for column in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(cells, widths, left, strict=True)
        ]
        return f'| {" | ".join(padded)} |'

    rule = [
        '-' * width if to_left else '-' * (width - 1) + ':'
        for width, to_left in zip(widths, left, strict=True)
    ]
    return '\n'.join([line(headers), line(rule), *(line(row) for row in texts)])


def save(name: str, out: Path, results: dict[str, Any], **circumstances: Any) -> Path:
    """Write `<name>.json`, and return its path.

    Args:
        name: The benchmark's.
        out: The folder, which is made where it is missing.
        results: What was measured.
        circumstances: What else tells how, such as the broker's version and the options.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / f'{name}.json'
    told = {'benchmark': name, 'command': command(), 'machine': machine(), 'versions': versions()}
    path.write_text(json.dumps({**told, **circumstances, **results}, indent=2, default=str) + '\n')
    return path


def command() -> str:
    """The command line of this run, as one would write it in the checkout."""
    script = Path(sys.argv[0]).resolve()
    shown = script.relative_to(ROOT) if script.is_relative_to(ROOT) else script
    return shlex.join(['python', str(shown), *sys.argv[1:]])


@functools.cache
def machine() -> dict[str, Any]:
    """The machine, and how busy it was when this was asked for first, before the benchmark's own work."""
    return {
        'cpu': _cpu_model(),
        'cpus': psutil.cpu_count(),
        'memory_gib': round(psutil.virtual_memory().total / 2**30, 1),
        'system': f'{platform.system()} {platform.release()}',
        'load_1min': round(os.getloadavg()[0], 2),
    }


@functools.cache
def versions() -> dict[str, str]:
    """What was measured; greenmicro with its commit, and whether files had changed since."""
    told = {'python': platform.python_version(), 'greenmicro': f'{__version__} {_commit()}'.strip()}
    return told | {package: metadata.version(package) for package in PACKAGES}


def heading(broker_version: str) -> str:
    """A line that says where this runs."""
    about = machine()
    kinds = ', '.join(f'{name} {version}' for name, version in versions().items())
    where = f'{about["cpus"]} x {about["cpu"]}, load {about["load_1min"]}'
    return f'{where}; RabbitMQ {broker_version}, {kinds}'


def _numeric(texts: Sequence[Sequence[str]], column: int) -> bool:
    return all(row[column][:1].isdigit() for row in texts)


def _cpu_model() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return models[0] if models else platform.processor() or platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(['git', *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = '+' if git('status', '--porcelain', '--', 'greenmicro') else ''
    return git('rev-parse', '--short', 'HEAD') + changed
