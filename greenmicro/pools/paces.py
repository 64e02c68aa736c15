"""Paces: how long the jobs of each entrypoint take, and so how many of them a child may have at a time."""

from __future__ import annotations

from greenmicro.entrypoints import Entrypoint

#: The share of the last job in the average.
NEWEST = 1 / 16
#: Of a job that nothing is known of yet, in seconds: too long to have another one wait behind it.
UNKNOWN_S = 1e9


class Paces:
    """Keeps a moving average for each entrypoint."""

    def __init__(self) -> None:
        self._average_s: dict[Entrypoint, float] = {}

    def expect(self, entrypoint: Entrypoint) -> float:
        """Return how long its next job will take, in seconds."""
        return self._average_s.get(entrypoint, UNKNOWN_S)

    def note(self, entrypoint: Entrypoint, took_s: float) -> None:
        """Take in how long a job took."""
        average_s = self._average_s.get(entrypoint, took_s)
        self._average_s[entrypoint] = average_s + (took_s - average_s) * NEWEST
