"""How does the cost of a message grow with queues, bodies, backlog, workers and replicas?

    python benchmarks/scale.py [--quick] [--out DIR] [--axis NAME[=POINT,POINT...] ...] [--messages N]

Along each axis one thing grows and all else stays: a service in thread mode, MAX_WORKERS 100, the prefetch
that follows from it, one queue, JSON of 100 bytes, a target that only counts. Each point is a
`python main.py` in a temporary folder, on a RabbitMQ node of this run's own, whose queues were filled in bulk
before it started; nobody publishes while it is measured. Rounds are interleaved: each takes all points of an
axis, so that a busy minute meets all alike, and each point is set against the first one of the same round.

- `queues`: so many listeners in one service, of a queue each, the messages spread evenly, published in turns.
- `body`: so many bytes; large ones are fewer.
- `backlog`: the same number of messages is consumed with so many more waiting behind them.
- `workers`: so many targets wait at a time. Each waits, by chance, for so long on average that about 4,000 a
  second end: then the machine is not full at any point, and only the number of those that wait differs.
- `replicas`: so many services on one queue; the cost is that of all of them together.

CPU per message: user and system time of the services, without the broker's, over the steady part: from when
all are ready and a tenth of the calls have ended to the last look before all have. Peak memory: PSS, looked
at five times a second, from when all are ready on.
"""

import argparse
import json
import time
from typing import Any, NamedTuple

from support.broker import Broker
from support.fleets import Fleet, Queues
from support.lines import Growth, draw_lines
from support.options import parse, parser
from support.processes import MEMORY
from support.report import Spread, heading, save, table
from support.sampling import Cost, Sample, steady, watch
from support.services import COUNTER

#: So many messages a second about, of waiting targets: it says how long they wait.
WAITING_PER_S = 4_000
#: Of large bodies at most so many bytes are sent to each point.
VOLUME = 200_000_000
#: What a service may hold of a queue: its prefetch is at most so many times its workers.
HELD_PER_WORKER = 2
LIMIT = 1.15

COUNTING = f'{COUNTER}\ndef work(payload):\n    DONE[0] += 1\n'
WAITING = (
    f'{COUNTER}\nimport random, time\n\n'
    'def work(payload):\n    time.sleep(random.uniform(0, {most_s}))\n    DONE[0] += 1\n'
)


class Point(NamedTuple):
    """What one service is measured with.

    Attributes:
        queues: How many it consumes from.
        body: The size of a body in bytes.
        backlog: How many messages wait behind those that are measured.
        workers: How many targets wait at a time; None: none waits, MAX_WORKERS is 100.
        replicas: How many services there are.
    """

    queues: int = 1
    body: int = 100
    backlog: int = 0
    workers: int | None = None
    replicas: int = 1


class Axis(NamedTuple):
    """One thing that grows.

    Attributes:
        along: What it is, in words.
        points: What it grows to.
        quick: What of that a quick run takes.
    """

    along: str
    points: tuple[int, ...]
    quick: tuple[int, ...]


AXES = {
    'queues': Axis('queues', (1, 5, 20, 50, 100, 200), (1, 20, 200)),
    'body': Axis('bytes of a body', (100, 1_000, 10_000, 100_000, 1_000_000), (100, 10_000, 1_000_000)),
    'backlog': Axis('messages that wait behind', (0, 1_000, 10_000, 100_000, 1_000_000), (0, 30_000)),
    'workers': Axis('targets that wait at a time', (1, 10, 100, 1_000, 10_000), (1, 1_000)),
    'replicas': Axis('services on one queue', (1, 2, 4), (1, 2)),
}

Costs = dict[str, dict[int, list[Cost]]]


def main() -> None:
    """Run it."""
    options = options_of()
    costs: Costs = {axis: {point: [] for point in points} for axis, points in options.axis.items()}
    with Broker() as broker:
        version = broker.version
        print(heading(version), end='\n\n')
        for axis, points in options.axis.items():
            for number in range(options.rounds):
                turn = number % len(points)
                for point in points[turn:] + points[:turn]:
                    costs[axis][point].append(measure(broker, axis, point, options))
                print(f'{axis}: round {number + 1} of {options.rounds} done', flush=True)
            delete(broker)
    results = {'axes': {axis: axis_data(axis, points) for axis, points in costs.items()}, 'limit': LIMIT}
    print(f'\n{shown(results)}\n')
    about = {'rabbitmq': version, 'memory': MEMORY, 'options': vars(options)}
    print(save('scale', options.out, results, **about))
    if chart := draw_lines(
        options.out / 'scale.png', 'what a message costs, as one thing grows', diagrams(results)
    ):
        print(chart)


def options_of() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__, rounds=5, quick_rounds=1)
    names = ', '.join(AXES)
    made.add_argument('--axis', nargs='+', metavar='NAME[=POINTS]', default=list(AXES), help=f'of {names}')
    made.add_argument('--messages', type=int, help='how many each point gets; else 40,000, quick 10,000')
    options = parse(made)
    options.messages = options.messages or (10_000 if options.quick else 40_000)
    asked = (text.partition('=') for text in options.axis)
    try:
        options.axis = {name: points_of(name, points, options.quick) for name, _, points in asked}
    except (KeyError, ValueError) as error:
        made.error(f'--axis: wanted {names}, with whole numbers after a =, found {error}')
    return options


def points_of(name: str, points: str, quick: bool) -> tuple[int, ...]:
    """Read what an axis is to grow to; else its own points."""
    axis = AXES[name]
    if points:
        return tuple(int(point) for point in points.split(','))
    return axis.quick if quick else axis.points


def measure(broker: Broker, axis: str, place: int, options: argparse.Namespace) -> Cost:
    """Measure one point."""
    point = Point(**{axis: place})
    queues = Queues(broker, [f'{axis}-{place}-{number}' for number in range(point.queues)])
    measured = messages_of(point, options.messages)
    behind = behind_of(point)
    body = json.dumps({'filling': 'x' * (point.body - len(json.dumps({'filling': ''})))}).encode()
    queues.fill(measured + behind, body)
    config = {'AMQP_URI': broker.uri, 'WORKER_MODE': 'thread', 'MAX_WORKERS': point.workers or 100}
    with Fleet(queues, tasks_of(point), point.replicas, config) as fleet:
        start = Sample(time.monotonic(), 0, 0.0, 0.0)
        fleet.wait_ready()
        samples = watch(fleet, fleet.done, measured, more=behind > 0)
        if not behind:
            queues.wait_empty()
        fleet.stop()
    return steady([start, *samples])


def messages_of(point: Point, messages: int) -> int:
    """How many messages are measured."""
    most = min(messages, VOLUME // point.body)
    if point.workers is not None:
        most = max(most // 4, 2 * point.workers)
    # As many in each queue.
    return most // point.queues * point.queues


def behind_of(point: Point) -> int:
    """How many messages wait behind them; where targets wait, enough that all of them do to the end."""
    return point.backlog if point.workers is None else HELD_PER_WORKER * point.workers


def tasks_of(point: Point) -> str:
    """The target."""
    if point.workers is None:
        return COUNTING
    return WAITING.replace('{most_s}', str(2 * point.workers / WAITING_PER_S))


def delete(broker: Broker) -> None:
    """Leave the node empty to the next axis."""
    Queues(broker, list(broker.node.queues())).delete()


def axis_data(axis: str, points: dict[int, list[Cost]]) -> dict[str, Any]:
    """What was measured along an axis, for JSON."""
    first = next(iter(points.values()))

    def ratios(rounds: list[Cost]) -> Spread:
        return Spread(one.cpu_us / other.cpu_us for one, other in zip(rounds, first, strict=True))

    return {
        'along': AXES[axis].along,
        'points': [
            {
                'point': point,
                'messages': [cost.calls for cost in rounds],
                'cpu_us_per_message': Spread(cost.cpu_us for cost in rounds).data(),
                'ratio': Spread(
                    one.cpu_us / other.cpu_us for one, other in zip(rounds, first, strict=True)
                ).data(),
                'messages_per_s': Spread(cost.per_s for cost in rounds).data(),
                'peak_memory_mib': Spread(cost.peak_mib for cost in rounds).data(),
            }
            for point, rounds in points.items()
        ],
    }


def shown(results: dict[str, Any]) -> str:
    """What was measured, to read."""
    headers = ['axis', 'point', 'CPU us/message', 'ratio to the first', 'messages/s', f'peak {MEMORY} MiB']
    forms = {'cpu_us_per_message': ',.1f', 'ratio': '.2f', 'messages_per_s': ',.0f', 'peak_memory_mib': '.1f'}
    rows = [
        [axis, f'{row["point"]:,}', *(Spread(row[key]['rounds']).shown(form) for key, form in forms.items())]
        for axis, data in results['axes'].items()
        for row in data['points']
    ]
    return table(headers, rows)


def diagrams(results: dict[str, Any]) -> list[Growth]:
    """The chart: for each axis the CPU, and the memory as far as it is of interest there."""
    drawn = []
    for axis, data in results['axes'].items():
        lines = {
            'CPU': [
                (row['point'], *(row['cpu_us_per_message'][key] for key in ('min', 'median', 'max')))
                for row in data['points']
            ]
        }
        drawn.append(Growth('CPU per message, microseconds', data['along'], lines, log=axis == 'body'))
    memory = {
        axis: [
            (number, *(row['peak_memory_mib'][key] for key in ('min', 'median', 'max')))
            for number, row in enumerate(data['points'], 1)
        ]
        for axis, data in results['axes'].items()
    }
    return [*drawn, Growth(f'peak memory ({MEMORY}), MiB', 'number of the point', memory)]


if __name__ == '__main__':
    main()
