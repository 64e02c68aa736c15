"""Patching: what was imported too early is named, and the rest is let be; each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHOW = 'from greenmicro import patching\nprint(*patching.faults(), *patching.warnings(), sep="\\n")\n'


def run(program: str, folder: Path) -> str:
    """Run a program as a user's main.py; return what it prints. Whatever is warned of ends it."""
    main = folder / 'main.py'
    main.write_text(program)
    command = [sys.executable, '-W', 'error', str(main)]
    environ = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout.strip()


def test_stdlib_imports_before_it_do_no_harm(tmp_path: Path) -> None:
    """gevent warns of nothing, there is no fault, and sockets and sleeps are green."""
    program = """
        import asyncio, concurrent.futures, http.client, logging, queue, select, socket, ssl
        import subprocess, threading, time, urllib.request
        import greenmicro.runner
        from gevent import monkey
        assert monkey.is_object_patched('time', 'sleep') and monkey.is_object_patched('socket', 'socket')
        assert ssl.create_default_context()
    """
    assert run(unindented(program) + SHOW, tmp_path) == ''


def unindented(program: str) -> str:
    return '\n'.join(line.strip() for line in program.splitlines()) + '\n'


@pytest.mark.parametrize('module', ['requests', 'urllib3'])
def test_what_keeps_the_old_tls_context_is_a_fault(module: str, tmp_path: Path) -> None:
    """The sentence names the module, and the import to move."""
    (fault,) = run(f'import {module}\nimport greenmicro.runner\n' + SHOW, tmp_path).splitlines()
    assert fault.startswith('urllib3 was imported before greenmicro.runner')
    assert 'move the import of greenmicro.runner above that of urllib3 (or of what imports it)' in fault


@pytest.mark.parametrize('module', ['requests', 'urllib3'])
def test_imported_after_it_they_are_none(module: str, tmp_path: Path) -> None:
    """The order is all that matters."""
    assert run(f'import greenmicro.runner\nimport {module}\n' + SHOW, tmp_path) == ''


@pytest.mark.parametrize(
    ('above', 'kept'),
    [
        ('from time import sleep', '__main__.sleep is time.sleep'),
        ('from time import sleep as rest', '__main__.rest is time.sleep'),
        ('from socket import socket', '__main__.socket is socket.socket'),
        ('from subprocess import Popen', '__main__.Popen is subprocess.Popen'),
        ('from select import select', '__main__.select is select.select'),
    ],
)
def test_a_kept_function_that_blocks_is_warned_of(above: str, kept: str, tmp_path: Path) -> None:
    """It names the module, the name there, and what to do."""
    assert run(f'{above}\nimport greenmicro.runner\n' + SHOW, tmp_path) == (
        f'{kept} from before the patch and blocks the whole service: import it after greenmicro.runner'
    )


def test_a_users_module_that_kept_one_is_named(tmp_path: Path) -> None:
    """Not only main.py: by identity, in whatever is imported."""
    (tmp_path / 'helpers.py').write_text('from time import sleep\n')
    assert run('import helpers\nimport greenmicro.runner\n' + SHOW, tmp_path).startswith(
        'helpers.sleep is time.sleep'
    )


def test_a_module_with_two_names_is_named_once(tmp_path: Path) -> None:
    """By its first: multiprocessing and coverage give `__main__` another one."""
    program = 'import sys\nfrom time import sleep\nsys.modules["__mp_main__"] = sys.modules["__main__"]\n'
    (warning,) = run(f'{program}import greenmicro.runner\n{SHOW}', tmp_path).splitlines()
    assert warning.startswith('__main__.sleep is time.sleep')


def test_a_process_that_was_patched_before_is_not_patched_again(tmp_path: Path) -> None:
    """Nor are its choices judged: without TLS patched, nobody holds an old context."""
    before = (
        'from gevent import monkey\nmonkey.patch_all(ssl=False)\nimport urllib3\nimport greenmicro.runner\n'
    )
    assert run(f'{before}assert not monkey.is_module_patched("ssl")\n{SHOW}', tmp_path) == ''


def test_strange_things_in_sys_modules_are_passed_over(tmp_path: Path) -> None:
    """Lazy modules stay unloaded, and what is no module at all does no harm."""
    program = """
        import greenmicro.runner, importlib.util, sys
        class Strange:
        \t@property
        \tdef __dict__(self): raise RuntimeError('touched')
        sys.modules['strange'], sys.modules['nothing'], sys.modules['number'] = Strange(), None, 3
        spec = importlib.util.find_spec('lazy')
        spec.loader = importlib.util.LazyLoader(spec.loader)
        module = sys.modules['lazy'] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    """
    (tmp_path / 'lazy.py').write_text('raise RuntimeError("loaded")\n')
    program = '\n'.join(line.removeprefix(' ' * 8) for line in program.splitlines()) + '\n'
    assert run(program + SHOW, tmp_path) == ''


def test_the_same_is_found_in_this_process() -> None:
    """This run's own process was patched first of all, by conftest.py."""
    from greenmicro import patching

    patching.patch()
    assert not list(patching.faults())
    assert all('blocks the whole service' in warning for warning in patching.warnings())
