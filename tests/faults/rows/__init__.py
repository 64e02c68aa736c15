"""The table of all rows."""

import os

from tests.faults.row import Row
from tests.faults.rows import (
    broker,
    children,
    cluster,
    encryption,
    host,
    life,
    messages,
    namespaces,
    network,
    publishing,
    targets,
    topology,
)

ROWS: dict[str, Row] = {
    row.id: row
    for module in (
        network,
        namespaces,
        broker,
        encryption,
        cluster,
        topology,
        publishing,
        messages,
        targets,
        children,
        life,
        host,
    )
    for row in module.ROWS
}

#: What the table has no injector for, and where it is tested instead, if it is.
ABSENT = {
    'H8': 'the soak has a command of its own, make soak',
}

#: What only root may do.
NEED_ROOT = {
    'B7a': 'needs root, for a file system of its own',
    'N5': 'needs root, for network namespaces',
    'N14': 'needs root, for a mount namespace',
}


def absent() -> dict[str, str]:
    """The rows of the table that are not played here, each with its reason."""
    return {**ABSENT, **(NEED_ROOT if os.geteuid() else {})}
