"""new_id: uuids, and never the same twice."""

import subprocess
import sys
import uuid

from greenmicro.ids import AT_ONCE, new_id


def test_they_are_uuids_of_version_4() -> None:
    """In the form that all readers know."""
    for _ in range(2 * AT_ONCE):
        told = new_id()
        known = uuid.UUID(told)
        assert str(known) == told
        assert (known.version, known.variant) == (4, uuid.RFC_4122)


def test_none_comes_twice() -> None:
    """Over several calls of the system."""
    assert len({new_id() for _ in range(50 * AT_ONCE)}) == 50 * AT_ONCE


FORKING = """
import os, sys
from greenmicro.ids import AT_ONCE, new_id

new_id()
if os.fork():
    os.wait()
print('\\n'.join(new_id() for _ in range(AT_ONCE)), flush=True)
"""


def test_a_fork_has_others() -> None:
    """Parent and child go on with none in common."""
    told = subprocess.run([sys.executable, '-c', FORKING], capture_output=True, text=True, check=True)
    ids = told.stdout.split()
    assert len(set(ids)) == len(ids) == 2 * AT_ONCE
