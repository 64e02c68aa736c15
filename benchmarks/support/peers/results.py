"""Results: what all rounds found of the peers, the ratios between them, and how both are shown."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..processes import MEMORY
from ..report import Spread, table
from ..sampling import Cost
from .base import Peer
from .running import Consumed, percentile


class Ratio(NamedTuple):
    """Two figures of the same round, divided.

    Attributes:
        measure: A name in MEASURES.
        ours: The peer above the line.
        theirs: The one below.
        bound: What is wanted: `at most 0.55`, `at least 3`.
    """

    measure: str
    ours: str
    theirs: str
    bound: str = ''


#: What is compared, and how it is read off a cost.
MEASURES: dict[str, Callable[[Cost], float]] = {
    'CPU per message': lambda cost: cost.cpu_us,
    'messages/s': lambda cost: cost.per_s,
    'peak memory': lambda cost: cost.peak_mib,
    'published/s': lambda cost: cost.per_s,
    'CPU per publish': lambda cost: cost.cpu_us,
}
CONSUMED = ('CPU per message', 'messages/s', 'peak memory')
PUBLISHED = ('published/s', 'CPU per publish')


class Results:
    """What was found, round by round.

    Attributes:
        consumed: By the peer's name.
        published: The same.
    """

    def __init__(self) -> None:
        self.consumed: dict[str, list[Consumed]] = {}
        self.published: dict[str, list[Cost]] = {}
        self.settings: dict[str, Peer] = {}

    def note_consumed(self, peer: Peer, consumed: Consumed) -> None:
        """Keep what a peer's consumer did in one more round."""
        self.settings[peer.name] = peer
        self.consumed.setdefault(peer.name, []).append(consumed)

    def note_published(self, peer: Peer, cost: Cost) -> None:
        """Keep what its publisher did."""
        self.settings[peer.name] = peer
        self.published.setdefault(peer.name, []).append(cost)

    def costs(self, measure: str, name: str) -> list[Cost]:
        """The rounds of a peer that a measure is read off; none if it was not measured."""
        if measure in PUBLISHED:
            return self.published.get(name, [])
        return [consumed.cost for consumed in self.consumed.get(name, [])]

    def ratio(self, ratio: Ratio) -> Spread | None:
        """The ratio of each round; None if one of the two was not measured."""
        ours, theirs = self.costs(ratio.measure, ratio.ours), self.costs(ratio.measure, ratio.theirs)
        if not ours or not theirs:
            return None
        read = MEASURES[ratio.measure]
        return Spread(read(our) / read(their) for our, their in zip(ours, theirs, strict=True))

    def data(self, wanted: Sequence[Ratio]) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            'consumed': [self._consumed_data(name) for name in self.consumed],
            'published': [{'peer': name, **_cost_data(costs)} for name, costs in self.published.items()],
            'ratios': [
                {**ratio._asdict(), **spread.data()} for ratio in wanted if (spread := self.ratio(ratio))
            ],
            'settings': {
                name: {'settings': peer.settings, 'docs': peer.docs} for name, peer in self.settings.items()
            },
        }

    def _consumed_data(self, name: str) -> dict[str, Any]:
        rounds = self.consumed[name]
        late = {
            f'p{share}_ms': Spread(percentile(told.late_s, share / 100) * 1e3 for told in rounds).data()
            for share in (50, 99)
            if all(told.late_s for told in rounds)
        }
        paced = {'paced_per_s': [told.paced_per_s for told in rounds]}
        return {'peer': name, **_cost_data([told.cost for told in rounds]), **paced, **late}


def _cost_data(costs: Sequence[Cost]) -> dict[str, Any]:
    return {
        'messages_per_s': Spread(cost.per_s for cost in costs).data(),
        'cpu_us_per_message': Spread(cost.cpu_us for cost in costs).data(),
        'peak_memory_mib': Spread(cost.peak_mib for cost in costs).data(),
        'messages': [cost.calls for cost in costs],
        'interval_s': [cost.interval_s for cost in costs],
    }


def consumed_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What consumers did, to read; with their latencies where any was measured."""
    headers = ['', 'messages/s', 'CPU us/message', f'peak {MEMORY} MiB']
    if not any('p50_ms' in row for row in rows):
        return table(headers, map(_cost_row, rows))
    return table(
        [*headers, 'at load/s', 'p50 ms', 'p99 ms'], [[*_cost_row(row), *_late_row(row)] for row in rows]
    )


def _late_row(row: Mapping[str, Any]) -> list[str]:
    if 'p50_ms' not in row:
        return ['-'] * 3
    load = f'{Spread(row["paced_per_s"]).median:,.0f}'
    return [load, *(_shown(row[key], '.2f') for key in ('p50_ms', 'p99_ms'))]


def published_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What publishers did, to read."""
    headers = ['', 'confirmed/s', 'CPU us/publish', f'peak {MEMORY} MiB']
    return table(headers, [_cost_row(row) for row in rows])


def _cost_row(row: Mapping[str, Any]) -> list[str]:
    return [
        row['peer'],
        _shown(row['messages_per_s'], ',.0f'),
        _shown(row['cpu_us_per_message'], ',.0f'),
        _shown(row['peak_memory_mib'], '.1f'),
    ]


def ratio_table(results: Results, ours: str, others: Sequence[str], measures: Sequence[str]) -> str:
    """How one compares with others: its figure divided by theirs."""
    rows = []
    for theirs in others:
        spreads = [results.ratio(Ratio(measure, ours, theirs)) for measure in measures]
        if None not in spreads:
            rows.append([theirs, *map(shown_ratio, filter(None, spreads))])
    return table([f'{ours} to', *measures], rows) if rows else ''


def goal_table(results: Results, goals: Sequence[Ratio]) -> str:
    """The ratios that are wanted, and those that were found."""
    found = [(goal, spread) for goal in goals if (spread := results.ratio(goal))]
    rows = [
        [f'{goal.measure}: {goal.ours} to {goal.theirs}', shown_ratio(s), goal.bound] for goal, s in found
    ]
    return table(['', 'ratio', 'wanted'], rows) if rows else ''


def shown_ratio(spread: Spread) -> str:
    """A ratio with its ends."""
    return spread.shown('.2f' if spread.median < 10 else '.0f')


def _shown(data: Mapping[str, Any], form: str) -> str:
    return Spread(data['rounds']).shown(form)
