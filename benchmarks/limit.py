"""How near does a service come to the client's own limit? The bare amqp client and ours, in one run.

    python benchmarks/limit.py [--quick] [--out DIR] [--seconds SECONDS]

All run under gevent on the same client library, hold 200 messages (144 bytes of JSON, persistent) at a time,
and count each in mapped memory. The queue is filled before they start, and nobody publishes. Rounds are
interleaved, each begins with another one; ratios are of two figures of the same round. CPU is of the whole
process, from when a tenth was done to the last look before all was. The broker's files are in memory where
there is a file system for that, as in peers.py.

- `bare, ack each`: a loop around `drain_events` whose callback acks the message: what one writes first.
- `bare, acks batched`: one ack for a hundred messages.
- `bare, no ack`: the broker forgets messages as it sends them; no prefetch holds it back, none is safe.
- `greenmicro thread`: a service with a target, in a worker each, with all that makes messages safe.

The bare loops do not decode the body, know no worker and no target, and lose what they hold when anything
goes wrong; ours does decode it.
"""

import argparse
from collections.abc import Sequence
from textwrap import fill
from typing import Any

from support.broker import Broker
from support.charts import Panel, draw
from support.options import parse, parser
from support.peers.bare import ACK_EACH, ACKS_BATCHED, NO_ACK
from support.peers.greenmicro import THREAD
from support.peers.results import CONSUMED, Ratio, Results, consumed_table, goal_table, ratio_table
from support.peers.running import consume, keep_in_memory
from support.processes import MEMORY
from support.report import heading, save

PROGRAMS = (THREAD, ACK_EACH, ACKS_BATCHED, NO_ACK)
BARE = [peer.name for peer in PROGRAMS[1:]]
GOALS = [Ratio('CPU per message', THREAD.name, ACK_EACH.name, 'at most 1.0')]
RATIOS = [*GOALS, *(Ratio(measure, THREAD.name, name) for measure in CONSUMED for name in BARE)]


def main() -> None:
    """Run it."""
    options = options_of()
    results = Results()
    in_memory = not options.disk and keep_in_memory()
    with Broker() as broker:
        version = broker.version
        print(heading(version), end='\n\n')
        for number in range(options.rounds):
            turn = number % len(PROGRAMS)
            for peer in (*PROGRAMS[turn:], *PROGRAMS[:turn]):
                messages = max(1, round(peer.per_s * options.seconds / 100)) * 100
                results.note_consumed(peer, consume(broker, peer, messages))
            print(f'round {number + 1} of {options.rounds} done', flush=True)
    data = results.data(RATIOS[1:])
    print(f'\n{shown(results, data["consumed"])}\n')
    about = {'rabbitmq': version, 'memory': MEMORY, 'broker_in_memory': in_memory, 'options': vars(options)}
    print(save('limit', options.out, data, **about))
    if chart := draw(options.out / 'limit.png', 'the bare client and a service', panels(data['consumed'])):
        print(chart)


def options_of() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__, rounds=7, quick_rounds=3)
    made.add_argument('--seconds', type=float, help='about how long to measure each; else 3, quick 0.5')
    made.add_argument('--disk', action='store_true', help="leave the broker's files on disk")
    options = parse(made)
    options.seconds = options.seconds or (0.5 if options.quick else 3.0)
    return options


def shown(results: Results, rows: Sequence[dict[str, Any]]) -> str:
    """What was measured, to read."""
    tables = (
        consumed_table(rows),
        ratio_table(results, THREAD.name, BARE, CONSUMED),
        goal_table(results, GOALS),
    )
    return '\n\n'.join(tables)


def panels(rows: Sequence[dict[str, Any]]) -> list[Panel]:
    """The chart."""

    def bars(key: str) -> dict[str, dict[str, float]]:
        return {fill(row['peer'], 11): {'': row[key]['median']} for row in rows}

    cpu = bars('cpu_us_per_message')
    limit = next(row['cpu_us_per_message']['median'] for row in rows if row['peer'] == ACK_EACH.name)
    return [
        Panel('CPU per message, microseconds', cpu, limit=limit),
        Panel('messages per second', bars('messages_per_s')),
    ]


if __name__ == '__main__':
    main()
