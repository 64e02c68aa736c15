"""What all examples have in common, and that their READMEs show the programs as they are."""

import re
from pathlib import Path

import pytest

from tests.examples import EXAMPLES

NAMES = sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir() and folder.name[0] not in '._')


def test_the_examples_that_the_project_promises():
    """None is missing, and none is without a test here."""
    assert NAMES == ['cpu', 'cron', 'fanout', 'http', 'quickstart', 'rpc', 'seed', 'shop']
    assert all(Path(__file__).with_name(f'test_{name}.py').exists() for name in NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_an_example_is_a_readme_a_main_program_and_its_tasks(name):
    """The main program is guarded, as process modes need it."""
    folder = EXAMPLES / name
    assert {'README.md', 'main.py', 'tasks.py'} <= {file.name for file in folder.iterdir()}
    assert "\nif __name__ == '__main__':\n" in (folder / 'main.py').read_text()


@pytest.mark.parametrize('name', NAMES)
def test_program_text_in_a_readme_is_what_the_files_say(name):
    """Each block of Python in it stands in one of the files, word for word."""
    folder = EXAMPLES / name
    blocks = re.findall(r'```python\n(.*?)```', (folder / 'README.md').read_text(), re.DOTALL)
    sources = [file.read_text() for file in folder.glob('*.py')]
    assert blocks
    for block in blocks:
        assert any(block in source for source in sources), block
