"""New ids of messages: uuids of version 4, made many at a time."""

from __future__ import annotations

import os

#: So many for one call of the system, which is half of what `uuid.uuid4` takes.
AT_ONCE = 64

_unused: list[str] = []


def new_id() -> str:
    """Return an id that no other message has; in any thread or greenlet."""
    try:
        digits = _unused.pop()
    except IndexError:
        fresh = os.urandom(16 * AT_ONCE).hex()
        _unused.extend(fresh[at : at + 32] for at in range(32, len(fresh), 32))
        digits = fresh[:32]
    # The version, and of the variant's four forms one.
    return f'{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}'


# A process that is forked off would give away the same ones.
os.register_at_fork(after_in_child=_unused.clear)
