"""The command line: `greenmicro` and `python -m greenmicro`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

NEEDS_CLICK = "greenmicro's command line needs click: pip install 'greenmicro[cli]' (`health` works without)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        arguments: What follows the program's name; by default those of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ['health']:
        # Before click: probes run each few seconds, and in images where nobody installs extras.
        from greenmicro.cli import probe

        return probe.main(words[1:])
    from importlib.util import find_spec

    if find_spec('click') is None:
        sys.stderr.write(f'{NEEDS_CLICK}\n')
        return 1
    from greenmicro.cli import commands

    return commands.run(words)
