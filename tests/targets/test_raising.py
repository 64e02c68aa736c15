"""Targets whose modules raise: what, and the line of the user's own code."""

from __future__ import annotations

from pathlib import Path

import pytest

from greenmicro.errors import ConfigError
from greenmicro.targets import resolve
from tests.targets.faults import Write, fault


def test_a_module_that_raises_is_told_with_its_line(write: Write, tmp_path: Path) -> None:
    """Class, message and the innermost line of the user's code, with the cause chained."""
    write('gm_inner.py', '\n\ndef fail():\n    raise LookupError("no such row")')
    write('gm_raises.py', 'import gm_inner\ngm_inner.fail()\ndef run(payload): ...')
    with pytest.raises(ConfigError) as caught:
        resolve('gm_raises.run')
    assert str(caught.value) == (
        f"target 'gm_raises.run': module 'gm_raises' raised LookupError: no such row "
        f'({tmp_path}/gm_inner.py:4)'
    )
    assert isinstance(caught.value.__cause__, LookupError)


def test_the_line_is_the_users_and_not_a_librarys(write: Write, tmp_path: Path) -> None:
    """Frames of the standard library and of installed packages are passed over."""
    write('site-packages/gm_library.py', 'def parse(text): return int(text)')
    write(
        'gm_calls_library.py',
        f'import json, sys\nsys.path.insert(0, "{tmp_path}/site-packages")\nimport gm_library\n'
        'try:\n    json.loads("{")\nexcept ValueError:\n    pass\ngm_library.parse("x")',
    )
    assert fault('gm_calls_library.run').endswith(f'({tmp_path}/gm_calls_library.py:8)')
    write('gm_stdlib.py', 'import json\njson.loads("{")')
    assert fault('gm_stdlib.run').endswith(f'({tmp_path}/gm_stdlib.py:2)')


def test_a_service_that_is_itself_installed_is_told_with_its_line(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all frames are foreign, the innermost is named."""
    write('site-packages/gm_installed.py', 'x = 1 / 0')
    monkeypatch.syspath_prepend(tmp_path / 'site-packages')
    assert fault('gm_installed.run').endswith('site-packages/gm_installed.py:1)')


def test_a_syntax_error_is_told_with_its_own_line(write: Write, tmp_path: Path) -> None:
    """The line that cannot be read, though no frame was ever in it."""
    write('gm_syntax.py', '\nx = (')
    assert fault('gm_syntax.run').endswith(f'({tmp_path}/gm_syntax.py:2)')


def test_a_missing_library_is_not_a_missing_target(write: Write, tmp_path: Path) -> None:
    """A ModuleNotFoundError from inside the module is told as what the module raised."""
    write('gm_needs.py', '\nimport gm_not_installed')
    assert fault('gm_needs.run') == (
        "target 'gm_needs.run': module 'gm_needs' raised ModuleNotFoundError: "
        f"No module named 'gm_not_installed' ({tmp_path}/gm_needs.py:2)"
    )


def test_a_missing_library_in_a_package_is_not_a_missing_submodule(write: Write) -> None:
    """Not even when what is missing has the target's package in its name."""
    write('gm_deep/__init__.py')
    write('gm_deep/tasks.py', 'import gm_deep.missing')
    assert "module 'gm_deep.tasks' raised ModuleNotFoundError: No module named 'gm_deep.missing'" in fault(
        'gm_deep.tasks.run'
    )


def test_a_module_that_exits_does_not_end_the_worker(write: Write) -> None:
    """sys.exit() at the top of a module is a fault like others."""
    write('gm_exit.py', 'raise SystemExit(3)')
    assert "module 'gm_exit' raised SystemExit: 3" in fault('gm_exit.run')


def test_a_module_that_raised_is_imported_anew(write: Write, tmp_path: Path) -> None:
    """What failed for want of a file works once the file is there."""
    write('gm_again.py', f'open("{tmp_path}/gm_file").close()\ndef run(payload): ...')
    assert 'FileNotFoundError' in fault('gm_again.run')
    write('gm_file')
    assert resolve('gm_again.run')


def test_an_attribute_that_raises_is_told(write: Write) -> None:
    """A module's lazy `__getattr__` may raise; that is no missing name."""
    write('gm_lazy.py', 'def __getattr__(name):\n    raise ValueError(name)')
    assert "reading 'run' raised ValueError: run (" in fault('gm_lazy.run')
