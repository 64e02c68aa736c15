"""The package's metadata; requirements.txt has what it needs to run, pyproject.toml how it is checked."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent

# What the command line needs, but for `greenmicro health`, since probes run in images without extras.
CLI = ['click>=8.1,<9']
# For CronEntrypoint; zones come from the system, or from tzdata where it has none.
CRON = ['cronsim>=2.6,<3', 'tzdata']
# What HTTPEntrypoint needs.
HTTP = ['werkzeug>=3,<4']
# What the checks of `make test` run; ruff is held to one minor version, since the next may format otherwise.
TEST = [
    *CLI,
    *CRON,
    *HTTP,
    'build>=1.2,<2',
    'coverage>=7.10,<8',  # the first to measure child processes by `patch = subprocess`
    'hypothesis>=6.100,<7',
    'mypy>=1.15,<3',
    'pika>=1.3,<2',
    'psutil>=6,<8',
    'pytest>=8.3,<10',
    'pytest-cov>=7,<8',
    'requests>=2.32,<3',
    'ruff>=0.17,<0.18',
    'setuptools>=70.1',  # the first to build wheels by itself, so also where isolation finds no network
    'types-gevent>=24.10',  # mypy's stubs; gevent ships none
]
BENCH = ['matplotlib>=3.8,<4', 'pika>=1.3,<2', 'psutil>=6,<8']


def version() -> str:
    """The version, read from the package's text: importing it would need what is not installed yet."""
    text = (ROOT / 'greenmicro' / '__init__.py').read_text(encoding='utf-8')
    found = re.search(r"^__version__ = '([^']+)'$", text, re.MULTILINE)
    if found is None:
        raise RuntimeError("greenmicro/__init__.py has no line __version__ = '...'")
    return found[1]


def requirements() -> list[str]:
    """The lines of requirements.txt, without comments."""
    lines = (ROOT / 'requirements.txt').read_text(encoding='utf-8').splitlines()
    stripped = [line.partition('#')[0].strip() for line in lines]
    return [line for line in stripped if line]


def readme() -> str:
    """The README, empty where there is none."""
    path = ROOT / 'README.md'
    return path.read_text(encoding='utf-8') if path.exists() else ''


setup(
    name='greenmicro',
    version=version(),
    description='Microservices that react to messages, on gevent and RabbitMQ.',
    long_description=readme(),
    long_description_content_type='text/markdown',
    author='The greenmicro authors',
    license='MIT',
    license_files=['LICENSE'],
    python_requires='>=3.10',
    packages=find_packages(include=['greenmicro', 'greenmicro.*']),
    package_data={'greenmicro': ['py.typed']},
    install_requires=requirements(),
    extras_require={'cli': CLI, 'cron': CRON, 'http': HTTP, 'test': TEST, 'bench': BENCH},
    entry_points={'console_scripts': ['greenmicro = greenmicro.cli:main']},
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Developers',
        'Operating System :: MacOS',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Typing :: Typed',
    ],
)
