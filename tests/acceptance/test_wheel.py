"""The wheel: it has all that the checkout has, and works without it."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.acceptance.test_seed import MAIN, TASKS
from tests.support.program import Program

CHECKOUT = Path(__file__).parents[2]
TIMER = """
from greenmicro import TimeEntrypoint
import greenmicro, os
entrypoints.append(TimeEntrypoint(60.0, Route('ticks.tick'), eager=True))
if __name__ == '__main__':
"""
TICKS = "import greenmicro\n\ndef tick(payload):\n    print(f'ticked by {greenmicro.__file__}', flush=True)\n"


def run(*command: str) -> None:
    """Run a command and show its output if it fails."""
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    """Built from a copy and installed elsewhere, it runs the program of the README in a child."""
    wheels, site, folder = tmp_path / 'wheels', tmp_path / 'site', tmp_path / 'service'
    pip = (sys.executable, '-m', 'pip', '--disable-pip-version-check')
    source = tmp_path / 'source'
    # Other processes may be writing compiled files just now.
    compiled = shutil.ignore_patterns('__pycache__')
    shutil.copytree(CHECKOUT / 'greenmicro', source / 'greenmicro', ignore=compiled)
    for name in ('setup.py', 'pyproject.toml', 'requirements.txt', 'README.md', 'MANIFEST.in', 'LICENSE'):
        shutil.copy(CHECKOUT / name, source)
    run(*pip, 'wheel', '--quiet', '--no-deps', '--no-build-isolation', '-w', str(wheels), str(source))
    (wheel,) = wheels.iterdir()
    run(*pip, 'install', '--quiet', '--no-deps', '--target', str(site), str(wheel))
    assert (site / 'greenmicro' / 'py.typed').exists()
    folder.mkdir()
    (folder / 'main.py').write_text(MAIN.replace("if __name__ == '__main__':\n", TIMER))
    (folder / 'tasks.py').write_text(TASKS)
    (folder / 'ticks.py').write_text(TICKS)
    environment = {
        'PYTHONPATH': str(site),
        'GREENMICRO_AMQP_URI': 'memory://',
        'GREENMICRO_WORKER_MODE': 'process',
    }
    with Program(folder, environment=environment, measured=False) as program:
        program.wait_for(f'ticked by {site}')
        assert program.stop() == 0
