"""The virtual environments of the peers, made under build/ where they are not yet."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from .. import ROOT
from .base import Environment, Peer

FOLDER = ROOT / 'build' / 'peers'


def python_of(peer: Peer) -> Path:
    """The interpreter that has it installed."""
    return Path(sys.executable) if peer.environment is None else _python(peer.environment)


def install(peers: Iterable[Peer]) -> dict[str, str]:
    """Install what the peers need, and return the reason for each that cannot be had, by its name."""
    peers = list(peers)
    wanted = {peer.environment for peer in peers if peer.environment is not None}
    faults = {environment: _install(environment) for environment in wanted}
    return {
        peer.name: reason
        for peer in peers
        if peer.environment is not None and (reason := faults[peer.environment])
    }


def versions_of(environment: Environment) -> dict[str, str]:
    """What is installed there, by name."""
    lines = _run(str(_python(environment)), '-m', 'pip', 'list', '--format=freeze').stdout.splitlines()
    return dict(line.split('==', 1) for line in lines if '==' in line)


def _python(environment: Environment) -> Path:
    return FOLDER / environment.name / 'bin' / 'python'


def _install(environment: Environment) -> str:
    """Return what stands in the way, or nothing; one whose pins have changed is made anew."""
    folder = FOLDER / environment.name
    pins = folder / 'pins.txt'
    wanted = '\n'.join(environment.requirements)
    if pins.exists() and pins.read_text() == wanted:
        return ''
    print(f'installing {", ".join(environment.requirements)}', flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    python = str(_python(environment))
    for command in (
        (sys.executable, '-m', 'venv', str(folder)),
        (python, '-m', 'pip', 'install', '--quiet', *environment.requirements),
        (python, '-c', f'import {environment.imports}'),
    ):
        ran = _run(*command)
        if ran.returncode:
            return (ran.stderr.strip().splitlines() or [f'exit code {ran.returncode}'])[-1]
    pins.write_text(wanted)
    return ''


def _run(*command: str) -> 'subprocess.CompletedProcess[str]':
    return subprocess.run(command, capture_output=True, text=True, check=False)
