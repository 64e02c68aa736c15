"""Which worker mode is for which work? The same workloads through the four modes, in one run.

    python benchmarks/modes.py [--quick] [--out DIR] [--mode MODE ...] [--workload NAME ...]

Each service is a `python main.py` in a temporary folder, on a RabbitMQ node of this run's own. Its queue is
filled before it starts, and nobody publishes while it is measured. Rounds are interleaved: each one takes all
workloads through all modes, beginning with another mode each time.

- Workloads: `noop` returns; `io` waits for 20 ms in `time.sleep`, a timer on the hub in thread modes and a
  blocked process in process modes, which leaves out what a socket costs, the same in all modes; `cpu`
  computes until its thread's own clock has advanced by 10 ms, so what else is on the CPU does not shorten it.
- Messages per second: from when a tenth of the calls have ended to the last look before all have. Calls are
  counted by the targets themselves, in mapped memory. Afterwards the queue must be empty and all be settled.
- CPU per message: user and system time of the service with its children over just that interval, the target's
  own 10 ms included in `cpu`. The broker's is not counted.
- Peak memory: PSS of the service with its children, looked at five times a second.
- Time to stop: W messages run and P are pending, and each takes 100 ms from SIGTERM on; seconds from SIGTERM
  to the end of the process, and what became of the messages.
"""

import argparse
from typing import Any, NamedTuple

from support.broker import Broker
from support.charts import Panel, draw
from support.options import parse, parser
from support.processes import MEMORY, wait_for_file
from support.report import Spread, heading, save, table
from support.sampling import Cost, steady, watch
from support.services import COUNTER, listener

from greenmicro.settings import WORKER_MODES, Settings

STOP_WORKERS, STOP_PENDING = 2, 18


class Workload(NamedTuple):
    """What each message makes a target do.

    Attributes:
        target: The text of the target.
        thread_per_s: About how many a second one service does in thread modes; it sizes the run only.
        child_per_s: The same for one child process.
    """

    target: str
    thread_per_s: int
    child_per_s: int


WORKLOADS = {
    'noop': Workload('def work(payload):\n    DONE[0] += 1\n', 25_000, 2_500),
    'io': Workload('import time\n\ndef work(payload):\n    time.sleep(0.02)\n    DONE[0] += 1\n', 4_000, 45),
    'cpu': Workload(
        'import time\n\ndef work(payload):\n    end = time.thread_time() + 0.01\n'
        '    while time.thread_time() < end:\n        sum(range(200))\n    DONE[0] += 1\n',
        90,
        90,
    ),
}

STOP_TASKS = """\
import os, time

def work(payload):
    with open('started', 'ab') as file:
        file.write(b'.')
    while not os.path.exists('go'):
        time.sleep(0.005)
    time.sleep(0.1)
"""


class Stop(NamedTuple):
    """What a stop with pending work did.

    Attributes:
        finished: How many messages were done.
        given_back: How many are in the queue again.
        took_s: Seconds from SIGTERM to the end of the process.
    """

    finished: int
    given_back: int
    took_s: float


def main() -> None:
    """Run it."""
    options = options_of()
    with Broker() as broker:
        version = broker.version
        print(heading(version), end='\n\n')
        costs = {(work, mode): [] for work in options.workload for mode in options.mode}
        stops = {mode: [] for mode in options.mode}
        for number in range(options.rounds):
            turn = number % len(options.mode)
            for mode in options.mode[turn:] + options.mode[:turn]:
                for work in options.workload:
                    costs[work, mode].append(measure(broker, work, mode, options))
                stops[mode].append(measure_stop(broker, mode))
            print(f'round {number + 1} of {options.rounds} done', flush=True)
    results = {'costs': cost_data(costs, options), 'stops': stop_data(stops)}
    print(f'\n{cost_table(results["costs"])}\n\n{stop_table(results["stops"])}\n')
    about = {'rabbitmq': version, 'memory': MEMORY, 'options': vars(options)}
    print(save('modes', options.out, results, **about))
    if chart := draw(options.out / 'modes.png', 'greenmicro: the four modes', panels(results)):
        print(chart)


def options_of() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__, rounds=5, quick_rounds=1)
    made.add_argument('--mode', nargs='+', choices=WORKER_MODES, default=list(WORKER_MODES))
    made.add_argument('--workload', nargs='+', choices=WORKLOADS, default=list(WORKLOADS))
    made.add_argument('--seconds', type=float, help='about how long to measure each; else 3, quick 0.7')
    made.add_argument('--workers', type=int, default=100, help='MAX_WORKERS in thread modes; 100')
    made.add_argument('--children', type=int, help='MAX_WORKERS in process modes; else as many as CPUs')
    made.add_argument('--prefetch', type=int, help="PREFETCH; else the framework's own choice")
    options = parse(made)
    options.seconds = options.seconds or (0.7 if options.quick else 3.0)
    return options


def config_of(broker: Broker, mode: str, options: argparse.Namespace) -> dict[str, Any]:
    """The config of a service under test."""
    in_children = WORKER_MODES[mode].place == 'child'
    workers = options.children if in_children else options.workers
    chosen = {'MAX_WORKERS': workers, 'PREFETCH': options.prefetch}
    given = {key: value for key, value in chosen.items() if value is not None}
    return {'AMQP_URI': broker.uri, 'WORKER_MODE': mode, **given}


def workers_of(mode: str, options: argparse.Namespace) -> int:
    """How many workers a mode has, the framework's default included."""
    config = {'AMQP_URI': 'memory://', 'SERVICE_NAME': 'service', 'WORKER_MODE': mode}
    asked = options.children if WORKER_MODES[mode].place == 'child' else options.workers
    return Settings.load(config, {}).max_workers if asked is None else int(asked)


def messages_of(work: str, mode: str, options: argparse.Namespace) -> int:
    """How many messages take about the wanted time."""
    workload, workers = WORKLOADS[work], workers_of(mode, options)
    in_children = WORKER_MODES[mode].place == 'child'
    per_s = workload.child_per_s * workers if in_children else workload.thread_per_s
    return max(20, int(per_s * options.seconds))


def measure(broker: Broker, work: str, mode: str, options: argparse.Namespace) -> Cost:
    """Run one workload through one mode."""
    messages = messages_of(work, mode, options)
    broker.fill(messages)
    with listener(COUNTER + WORKLOADS[work].target, **config_of(broker, mode, options)) as service:
        samples = watch(service.tree, service.done, messages)
        broker.wait_settled()
        service.stop()
    return steady(samples)


def measure_stop(broker: Broker, mode: str) -> Stop:
    """Stop a service while STOP_WORKERS messages run and STOP_PENDING wait for a worker."""
    sent = STOP_WORKERS + STOP_PENDING
    broker.fill(sent)
    config = {'AMQP_URI': broker.uri, 'WORKER_MODE': mode, 'MAX_WORKERS': STOP_WORKERS, 'PREFETCH': sent}
    with listener(STOP_TASKS, **config) as service:
        service.wait_ready()
        wait_for_file(service.folder / 'started', STOP_WORKERS)
        broker.wait_for(lambda counts: counts.unacked == sent, f'{sent} delivered messages')
        took_s = service.stop(at_signal=service.folder / 'go')
        counts = broker.wait_for(lambda counts: not counts.unacked, 'no unacked messages')
        return Stop(sent - counts.ready, counts.ready, took_s)


def cost_data(costs: dict[tuple[str, str], list[Cost]], options: argparse.Namespace) -> list[dict[str, Any]]:
    """What the workloads cost, for JSON."""
    return [
        {
            'workload': work,
            'mode': mode,
            'workers': workers_of(mode, options),
            'messages': messages_of(work, mode, options),
            'messages_per_s': Spread(cost.per_s for cost in rounds).data(),
            'cpu_us_per_message': Spread(cost.cpu_us for cost in rounds).data(),
            'peak_memory_mib': Spread(cost.peak_mib for cost in rounds).data(),
            'interval_s': [cost.interval_s for cost in rounds],
        }
        for (work, mode), rounds in costs.items()
    ]


def stop_data(stops: dict[str, list[Stop]]) -> list[dict[str, Any]]:
    """What the stops did, for JSON."""
    return [
        {
            'mode': mode,
            'running': STOP_WORKERS,
            'pending': STOP_PENDING,
            'finished': [stop.finished for stop in rounds],
            'given_back': [stop.given_back for stop in rounds],
            'stop_s': Spread(stop.took_s for stop in rounds).data(),
        }
        for mode, rounds in stops.items()
    ]


def cost_table(rows: list[dict[str, Any]]) -> str:
    """What the workloads cost, to read."""
    headers = ['workload', 'mode', 'workers', 'messages/s', 'CPU us/message', f'peak {MEMORY} MiB']
    return table(
        headers,
        [
            [
                row['workload'],
                row['mode'],
                row['workers'],
                Spread(row['messages_per_s']['rounds']).shown(',.0f'),
                Spread(row['cpu_us_per_message']['rounds']).shown(',.0f'),
                Spread(row['peak_memory_mib']['rounds']).shown('.1f'),
            ]
            for row in rows
        ],
    )


def stop_table(rows: list[dict[str, Any]]) -> str:
    """What the stops did, to read; a count that differs between rounds shows all that were seen."""
    headers = ['mode', 'running', 'pending', 'finished', 'given back', 'stop s']
    return table(
        headers,
        [
            [
                row['mode'],
                row['running'],
                row['pending'],
                '/'.join(map(str, sorted(set(row['finished'])))),
                '/'.join(map(str, sorted(set(row['given_back'])))),
                Spread(row['stop_s']['rounds']).shown('.2f'),
            ]
            for row in rows
        ],
    )


def panels(results: dict[str, Any]) -> list[Panel]:
    """The chart."""

    def by_workload(key: str) -> dict[str, dict[str, float]]:
        bars: dict[str, dict[str, float]] = {}
        for row in results['costs']:
            bars.setdefault(row['workload'], {})[row['mode']] = row[key]['median']
        return bars

    stops = {row['mode']: {'stop': row['stop_s']['median']} for row in results['stops']}
    return [
        Panel('messages per second (more is better)', by_workload('messages_per_s'), log=True),
        Panel('CPU per message, microseconds', by_workload('cpu_us_per_message'), log=True),
        Panel(f'peak memory ({MEMORY}), MiB', by_workload('peak_memory_mib')),
        Panel(f'seconds to stop, {STOP_WORKERS} running and {STOP_PENDING} pending (100 ms each)', stops),
    ]


if __name__ == '__main__':
    main()
