"""What does a message cost here, and in nameko, celery, dramatiq and FastStream? The same work, in one run.

    python benchmarks/peers.py [--quick] [--out DIR] [--peers NAME ...] [--part NAME ...] [--readme]

Each peer is installed by pip, at the version that is pinned in `support/peers/`, in a virtual environment of
its own under `build/peers/`, and is set as its documentation has it for messages that may not be lost: it
acks after the handler, publishes with confirms, and holds 200 messages. The settings and where they stand in
the documentation are in `support/peers/` and in the JSON. Rounds are interleaved: each takes all peers,
beginning with another one each time; ratios are of two figures of the same round.

- The broker's files are in memory where there is a file system for that (`--disk`: on disk). Confirms of
  persistent messages wait for the disk: on a slow one all that have 100 in flight are alike, and one that has
  a single one is many times slower, which says something of the disk and little of the client.
- Consume: the queue holds messages as the peer's own client writes them (144 bytes of JSON, and what it
  wraps around them) before the service starts, for all for about the same time, and nobody publishes. The
  handler counts the call in mapped memory and returns. Messages per second and CPU per message are of the
  interval from when a tenth was done to the last look before all was, CPU of the service with its children.
- Latency: then the same service gets half of the messages a second that it has just done, at most 4,000,
  evenly spaced; from the publisher's write to the handler's first line.
- That it acks late is tested each time: the service is killed while it handles a message, which must be in
  its queue again. All others must have been handled and acked, exactly as many as there were.
- Publish: 100 greenlets, threads or tasks publish events, each waiting for the confirm of its own before its
  next; afterwards all must be in the queue. Beside them the bare client: one that waits for each confirm, and
  one that has 100 in flight, which shows what the broker takes.
- Processes: the same with two child processes; `ProcessPoolExecutor` makes the same calls without a broker.
- Scaling: a target that computes for 10 ms of its thread's own time, in one child and in two.
"""

import argparse
import itertools
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from textwrap import fill
from typing import Any

from support import ROOT
from support.broker import Broker
from support.charts import Panel, draw
from support.options import parse, parser
from support.peers import CHILDREN, PEERS
from support.peers.base import Peer
from support.peers.environments import install, versions_of
from support.peers.greenmicro import computing
from support.peers.readme import put_into
from support.peers.results import (
    CONSUMED,
    MEASURES,
    PUBLISHED,
    Ratio,
    Results,
    consumed_table,
    goal_table,
    published_table,
    ratio_table,
)
from support.peers.running import consume, keep_in_memory, publish
from support.processes import MEMORY
from support.report import command, heading, save

PARTS = ('consume', 'publish', 'scaling')
OURS = {'threads': 'greenmicro thread', 'processes': 'greenmicro process'}
BARE = BASE, _ = 'bare, one at a time', 'bare, pipelined'
SCALING = [f'{children} children' for children in (1, CHILDREN)]

GOALS = [
    Ratio('CPU per message', OURS['threads'], 'dramatiq gevent', 'at most 0.55'),
    Ratio('CPU per message', OURS['threads'], 'nameko', 'at most 0.30'),
    Ratio('messages/s', OURS['threads'], 'dramatiq gevent', 'at least 1.6'),
    Ratio('messages/s', OURS['threads'], 'nameko', 'at least 3'),
    Ratio('published/s', OURS['threads'], BASE, 'at least 8'),
    Ratio('published/s', OURS['threads'], 'nameko', 'at least 5'),
    Ratio('messages/s', OURS['processes'], 'celery prefork', 'at least 3'),
    Ratio('messages/s', OURS['processes'], 'ProcessPoolExecutor', 'at least 1.0'),
    Ratio('messages/s', SCALING[1], SCALING[0], 'at least 1.8'),
]


def main() -> None:
    """Run it."""
    options = options_of()
    peers = [peer for name in options.peers for peer in PEERS[name]]
    absent = install(peers)
    peers = [peer for peer in peers if peer.name not in absent]
    results = Results()
    in_memory = not options.disk and keep_in_memory()
    with Broker() as broker:
        version = broker.version
        print(heading(version), end='\n\n')
        for number in range(options.rounds):
            play(broker, turned(peers, number), options, results)
            print(f'round {number + 1} of {options.rounds} done', flush=True)
    tables = shown(results)
    print(f'\n{tables}\n')
    for name, reason in absent.items():
        print(f'Not measured: {name}, which could not be installed: {reason}')
    about = {'rabbitmq': version, 'memory': MEMORY, 'options': vars(options), 'absent': absent}
    about['broker_in_memory'] = in_memory
    environments = {peer.environment for peer in peers if peer.environment}
    about['peers'] = {environment.name: versions_of(environment) for environment in environments}
    print(save('peers', options.out, results.data(ratios_of(results)), **about))
    title = 'the same messages through several frameworks'
    if chart := draw(options.out / 'peers.png', title, panels(results)):
        print(chart)
    if options.readme:
        write_readme(results, version, options)


def options_of() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__, rounds=5, quick_rounds=1)
    made.add_argument('--peers', nargs='+', choices=PEERS, default=list(PEERS))
    made.add_argument('--part', nargs='+', choices=PARTS, default=list(PARTS))
    made.add_argument('--seconds', type=float, help='about how long to measure each; else 3, quick 0.7')
    made.add_argument('--disk', action='store_true', help="leave the broker's files on disk")
    made.add_argument('--readme', action='store_true', help='put ratios and chart into the README')
    options = parse(made)
    if options.readme and find_spec('matplotlib') is None:  # else an old chart would stand beside the table
        made.error('--readme draws a chart: pip install -e ".[bench]"')
    options.seconds = options.seconds or (0.7 if options.quick else 3.0)
    return options


def turned(peers: Sequence[Peer], number: int) -> list[Peer]:
    """The peers in the order of a round."""
    turn = number % len(peers) if peers else 0
    return [*peers[turn:], *peers[:turn]]


def play(broker: Broker, peers: Sequence[Peer], options: argparse.Namespace, results: Results) -> None:
    """Take all peers through all parts once."""
    for peer in peers:
        if 'consume' in options.part and peer.consumer is not None:
            messages = messages_of(peer.per_s, options)
            results.note_consumed(peer, consume(broker, peer, messages, options.seconds))
        if 'publish' in options.part and peer.publishing is not None:
            messages = messages_of(peer.publishing.per_s, options)
            results.note_published(peer, publish(broker, peer, messages))
    if 'scaling' in options.part and 'greenmicro' in options.peers:
        for children in (1, CHILDREN):
            peer = computing(children)
            results.note_consumed(peer, consume(broker, peer, messages_of(peer.per_s, options)))


def messages_of(per_s: int, options: argparse.Namespace) -> int:
    """How many messages take about the wanted time, in whole hundreds since there are so many publishers."""
    return max(1, round(per_s * options.seconds / 100)) * 100


def names_of(results: Results, group: str) -> list[str]:
    """Those of a group that were measured, ours first."""
    names = [name for name, peer in results.settings.items() if peer.group == group and name not in SCALING]
    return sorted(names, key=lambda name: (name != OURS.get(group), name))


def ratios_of(results: Results) -> Iterator[Ratio]:
    """All ratios of ours to the others, and those that are wanted."""
    bounds = {goal[:3]: goal for goal in GOALS}
    for group, ours in OURS.items():
        for measure, theirs in itertools.product(MEASURES, [*names_of(results, group), *BARE]):
            if theirs != ours:
                yield bounds.pop((measure, ours, theirs), Ratio(measure, ours, theirs))
    yield from bounds.values()


def shown(results: Results) -> str:
    """What was measured, to read."""
    data = results.data([])
    parts = [consumed_table(data['consumed'])] if data['consumed'] else []
    parts += [published_table(data['published'])] if data['published'] else []
    return '\n\n'.join(filter(None, [*parts, ratio_tables(results), goal_table(results, GOALS)]))


def ratio_tables(results: Results) -> str:
    """The ratios of ours to the others, a table for each group."""
    threads, processes = (
        [name for name in names_of(results, group) if name != ours] for group, ours in OURS.items()
    )
    tables = [
        ratio_table(results, OURS['threads'], threads, CONSUMED),
        ratio_table(results, OURS['threads'], [*threads, *BARE], PUBLISHED),
        ratio_table(results, OURS['processes'], processes, CONSUMED),
    ]
    return '\n\n'.join(filter(None, tables))


def write_readme(results: Results, version: str, options: argparse.Namespace) -> None:
    """Put the ratios and the chart into the project's README, with the command that made them."""
    chart = ROOT / 'benchmarks' / 'peers.png'
    draw(chart, 'the same messages through several frameworks', panels(results))
    text = (
        f'Of `{command()}`, {options.rounds} rounds: medians, the lowest and the highest in parentheses.\n'
        f'{heading(version)}.\n\n![messages per second and CPU per message]({chart.relative_to(ROOT)})\n\n'
        f'{ratio_tables(results)}'
    )
    put_into(ROOT / 'README.md', 'peers table', text)


def panels(results: Results) -> list[Panel]:
    """The chart."""
    data = results.data([])
    consumed = {row['peer']: row for row in data['consumed']}
    published = {row['peer']: row for row in data['published']}

    def bars(rows: dict[str, Any], names: Sequence[str], key: str) -> dict[str, dict[str, float]]:
        return {fill(name, 11): {'': rows[name][key]['median']} for name in names if name in rows}

    threads, processes = names_of(results, 'threads'), names_of(results, 'processes')
    made = [
        Panel('messages per second, one process', bars(consumed, threads, 'messages_per_s')),
        Panel('CPU per message, microseconds, one process', bars(consumed, threads, 'cpu_us_per_message')),
        Panel('messages per second, two child processes', bars(consumed, processes, 'messages_per_s')),
        Panel('published and confirmed per second', bars(published, [*threads, *BARE], 'messages_per_s')),
    ]
    return [panel for panel in made if panel.bars]


if __name__ == '__main__':
    main()
