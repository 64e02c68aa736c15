"""Tier: how much of a row is played, and what its seed decides for one cell."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: In the long tier a fault comes so often under one load, and at a pace so much faster than in the others.
FEWEST, MOST = 2, 5
FASTER = 4
#: A confirm may take 25 ms, until the broker has saved the message; so that many publish at the same time.
FEWEST_LANES, MOST_LANES = 4, 12
#: The first and the last moment of a fault, as parts of the load.
FIRST, LAST = 0.05, 0.9
#: So many messages may wait for a service under load.
AHEAD = 500
#: What a shared machine gets done at least, in messages a second.
SLOWEST = 20


@dataclass(frozen=True)
class Tier:
    """How much of a row is played.

    Attributes:
        full: whether numbers may be large.
        count: N, how many messages a cell of the long tier gets; None in the other tiers.
        seed: of all that is left to chance.
    """

    full: bool = False
    count: int | None = None
    seed: int = 1


QUICK = Tier()


class Course:
    """What the seed decides for one row in one cell: when faults come, and how the publisher pauses.

    In the quick and in the full tier it decides the proxy's jitter alone.

    Args:
        tier: how much is played, and the seed.
        row: the row's id; the cells of a row share how often its fault comes, for they meet at each.
        cell: where.
    """

    def __init__(self, tier: Tier, row: str, cell: str) -> None:
        self.tier = tier
        self.rounds = 1
        if tier.count:
            self.rounds = random.Random(f'{tier.seed} {row}').randint(FEWEST, MOST)
        self.chances = random.Random(f'{tier.seed} {row} {cell}')
        self.link_seed = self.chances.randrange(2**31)
        self.lanes = self.chances.randint(FEWEST_LANES, MOST_LANES) if tier.count else 1
        self.pace = self.chances.choice((steady, ragged, bursts))

    def moments(self, before: int) -> list[int]:
        """After how many confirmed messages the fault comes, each time.

        Args:
            before: when it comes in the short tiers, once.
        """
        count = self.tier.count
        if not count:
            return [before]
        drawn = (self.chances.uniform(FIRST, LAST) for _ in range(self.rounds))
        return sorted(max(1, int(count * part)) for part in drawn)

    def some(self, few: int, pieces: int = 1) -> int:
        """How many messages go between two bad ones.

        Args:
            few: in the short tiers.
            pieces: how often the row asks, since N is divided among them.
        """
        if not self.tier.count:
            return few
        return max(few, int(self.tier.count / pieces * self.chances.uniform(0.7, 1.3)))

    def pauses(self, pause_s: float) -> Iterator[float]:
        """The pauses of a publisher under load; in the long tier they are drawn."""
        if not self.tier.count:
            return steady(self.chances, pause_s)
        return self.pace(self.chances, pause_s / FASTER)

    def too_far(self, confirmed: int, done: Callable[[], int]) -> bool:
        """Whether the load is too far ahead: the messages of a fault would only wait behind it."""
        return self.tier.count is not None and confirmed - done() > AHEAD

    def patience(self, timeout_s: float, messages: int) -> float:
        """How long to wait for so many messages on a shared machine."""
        return timeout_s + messages / SLOWEST if self.tier.count else timeout_s


def steady(chances: random.Random, pause_s: float) -> Iterator[float]:
    """Always the same."""
    while True:
        yield pause_s


def ragged(chances: random.Random, pause_s: float) -> Iterator[float]:
    """As independent events come."""
    while True:
        yield chances.expovariate(1 / pause_s)


def bursts(chances: random.Random, pause_s: float) -> Iterator[float]:
    """Many at once, then a while none."""
    while True:
        many = chances.randint(20, 200)
        yield from [0.0] * many
        yield many * pause_s
