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
    network,
    publishing,
    targets,
    topology,
)

ROWS: dict[str, Row] = {
    row.id: row
    for module in (
        network,
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
    'N5': 'no injector yet: two network namespaces; N3 and N4 have the same silence through the proxy',
    'H8': 'the soak has a command of its own, make soak',
}


def absent() -> dict[str, str]:
    """The rows of the table that are not played here, each with its reason."""
    without_root = {'N14': 'needs root, for a mount namespace'} if os.geteuid() else {}
    return {**ABSENT, **without_root}
