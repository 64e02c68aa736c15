"""The memory that a process holds, against a limit."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from greenmicro import resident
from greenmicro.resident import exceeds


def test_it_says_what_the_system_says() -> None:
    """The limit is in bytes."""
    held = psutil.Process().memory_info().rss
    assert exceeds(held // 2)
    assert not exceeds(held * 2)


def test_what_was_given_back_does_not_count() -> None:
    """A message may take much for a while."""
    script = (
        'import mmap\n'
        'from greenmicro.resident import exceeds\n'
        'def fill():\n'
        '    with mmap.mmap(-1, 300_000_000) as area:\n'
        '        for at in range(0, len(area), 4096): area[at] = 1\n'
        '        return exceeds(200_000_000)\n'
        'print(fill(), exceeds(200_000_000))\n'
    )
    told = subprocess.check_output([sys.executable, '-c', script], text=True).split()
    assert told == ['True', str(sys.platform != 'linux')]


def test_the_peak_has_to_do_where_nothing_else_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""

    def refuse(*_: object) -> int:
        raise FileNotFoundError

    monkeypatch.setattr(resident.os, 'open', refuse)
    assert exceeds(1)
