"""The worker modes: where workers run, and what becomes of pending messages at a stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple


class WorkerMode(NamedTuple):
    """One mode: two axes, of which each combination is there.

    Attributes:
        name: What the user writes in WORKER_MODE.
        place: A greenlet of this process, or a child process.
        drains: Whether pending messages still run at a stop; else they go back to the queue.
    """

    name: str
    place: Literal['greenlet', 'child']
    drains: bool


WORKER_MODES: Mapping[str, WorkerMode] = {
    mode.name: mode
    for mode in (
        WorkerMode('thread', 'greenlet', drains=False),
        WorkerMode('greedy_thread', 'greenlet', drains=True),
        WorkerMode('process', 'child', drains=False),
        WorkerMode('greedy_process', 'child', drains=True),
    )
}
