"""The commands, as click knows them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from greenmicro import __version__
from greenmicro.cli import probe
from greenmicro.cli.dead import dead


@click.group(context_settings={'help_option_names': ['-h', '--help']})
@click.version_option(__version__, prog_name='greenmicro')
def greenmicro() -> None:
    """Look after services built with greenmicro."""


@greenmicro.command(context_settings={'ignore_unknown_options': True, 'help_option_names': []})
@click.argument('arguments', nargs=-1, type=click.UNPROCESSED)
def health(arguments: Sequence[str]) -> None:
    """Ask a service whether it is ready, for container probes."""
    raise SystemExit(probe.main(arguments))


greenmicro.add_command(dead)


def run(words: Sequence[str]) -> int:
    """Run a command and return its exit code; errors are told with their next step."""
    try:
        greenmicro.main(list(words), prog_name='greenmicro')
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
