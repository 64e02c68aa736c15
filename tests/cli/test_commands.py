"""The command line as a whole: help, version, and what it says without click."""

from __future__ import annotations

import subprocess
import sys

import pytest

from greenmicro import __version__
from greenmicro.cli import main
from greenmicro.cli.commands import greenmicro

WITHOUT_CLICK = """
import sys
sys.modules['click'] = None
from greenmicro.cli import main
print(main(['health', '--address', '127.0.0.1:1']), main(['dead', 'list', 'q']))
"""


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    """It has every command; so it has without any word."""
    assert main(['--help']) == 0
    out = capsys.readouterr().out
    for name in ('dead', 'health'):
        assert f'\n  {name} ' in out
    assert main(['dead', '--help']) == 0
    out = capsys.readouterr().out
    for name in ('list', 'show', 'requeue', 'drop'):
        assert f'\n  {name} ' in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """It is the package's."""
    assert main(['--version']) == 0
    assert __version__ in capsys.readouterr().out


def test_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    """It is an error of usage."""
    assert main(['deaf']) == 2
    assert "No such command 'deaf'" in capsys.readouterr().err


def test_health_is_one_of_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """As click has it too, for whoever builds on the group."""
    with pytest.raises(SystemExit, match='1'):
        greenmicro.main(['health', '--address', '127.0.0.1:1'])
    assert 'no answer from 127.0.0.1:1' in capsys.readouterr().out


def test_without_click() -> None:
    """One line says what to install; `health` works all the same."""
    done = subprocess.run([sys.executable, '-c', WITHOUT_CLICK], capture_output=True, text=True, check=False)
    assert done.stdout.endswith('1 1\n')
    assert done.stderr == (
        "greenmicro's command line needs click: pip install 'greenmicro[cli]' (`health` works without)\n"
    )
