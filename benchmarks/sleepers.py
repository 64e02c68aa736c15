"""How near are 10,000 messages that wait to 10,000 bare greenlets that wait, in time and in memory?

    python benchmarks/sleepers.py [--quick] [--out DIR] [--messages N] [--workers N] [--sleep S]

20,000 messages, whose target sleeps for 2 s, go through a service in thread mode with MAX_WORKERS 10,000: two
batches, so 4 s are sleep. The time is from the first start to the last end of a target, taken by the targets.
The queue is filled before the service starts, and nobody publishes meanwhile. On a machine that does not get
10,000 messages to it within the sleep, fewer sleep at once, and the run says so: give it a longer one.

Memory is what the process grew by: the most USS that was seen (what is this process's alone, so that neither
other processes nor shared libraries count), less its USS when idle. What is fair:

- The bare process is patched and has imported kombu and amqp as the service has, is looked at, and then does
  `gevent.spawn(time.sleep, 2)` as often as the service has workers, in two batches one after the other like
  the service: no more sleep at once than there, and the heap is used a second time. That is the least that a
  waiting greenlet takes: no message, no target, no result.
- The service is looked at when idle on its empty queue, in a run of its own just before: in the measured run
  the messages come as soon as it consumes. What it grew by includes all that its messages hold: those that
  run, those that were delivered and wait for a worker (a quarter more), and what is kept until they are
  acked. Nothing is taken off for that, since a service without messages is no service.
- Memory is looked at every 20 ms; the 10,000 sleep for 2 s at a time, so the plateau is not missed.
"""

import argparse
import json
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from support.broker import Broker
from support.charts import Panel, draw
from support.options import parse, parser
from support.processes import cpu_s_of, memory_of, wait_for_file
from support.report import Spread, heading, save, table
from support.services import Service, listener

RATIO_LIMIT = 1.5
#: What receiving, starting and settling 20,000 may take beside the sleep, in seconds.
BESIDE_S = 3.0
LOOK_S = 0.02
#: How long an idle process is left alone before its memory is looked at.
REST_S = 0.5

TASKS = """\
import json, os, time

TOTAL = {total}
first = last = None
running = most = done = 0

def work(payload):
    global first, last, running, most, done
    first = first or time.monotonic()
    running += 1
    most = max(most, running)
    time.sleep({sleep})
    running -= 1
    done += 1
    if done == TOTAL:
        last = time.monotonic()
        with open('result.new', 'w') as file:
            json.dump({'first': first, 'last': last, 'most': most}, file)
        os.rename('result.new', 'result')
"""

BARE = """\
from gevent import monkey

monkey.patch_all()
import os, time
import amqp, gevent, kombu, kombu.serialization

print('ready after nothing', flush=True)
while not os.path.exists('go'):
    time.sleep(0.01)
for _ in range({batches}):
    gevent.joinall([gevent.spawn(time.sleep, {sleep}) for _ in range({workers})])
print('all slept', flush=True)
"""


class Growth(NamedTuple):
    """How a process grew.

    Attributes:
        idle_mib: What it had before.
        peak_mib: The most that was seen.
    """

    idle_mib: float
    peak_mib: float

    @property
    def mib(self) -> float:
        """The difference."""
        return self.peak_mib - self.idle_mib


class Run(NamedTuple):
    """One run of the service.

    Attributes:
        took_s: From the first start to the last end.
        most: How many targets slept at once.
        cpu_us: Processor time per message, start of the process included.
        growth: How it grew.
    """

    took_s: float
    most: int
    cpu_us: float
    growth: Growth


class PeakWatch:
    """Looks at the memory of a process in a thread, as long as its `with` block lasts."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.peak_mib = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            self.peak_mib = max(self.peak_mib, memory_of(self.pid, 'USS'))

    def __enter__(self) -> 'PeakWatch':
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()


def main() -> None:
    """Run it."""
    options = options_of()
    with Broker() as broker:
        version = broker.version
        print(heading(version), end='\n\n')
        runs, bare = [], []
        for number in range(options.rounds):
            runs.append(measure(broker, options))
            bare.append(measure_bare(options))
            print(f'round {number + 1} of {options.rounds} done', flush=True)
    results = results_of(runs, bare, options)
    print(f'\n{shown(results, options)}\n')
    print(save('sleepers', options.out, results, rabbitmq=version, memory='USS', options=vars(options)))
    if chart := draw(options.out / 'sleepers.png', f'{options.workers} sleepers', panels(results)):
        print(chart)


def options_of() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__, rounds=5, quick_rounds=2)
    made.add_argument('--messages', type=int, default=20_000)
    made.add_argument('--workers', type=int, default=10_000)
    made.add_argument('--sleep', type=float, default=2.0, help='seconds that each sleeps')
    return parse(made)


def measure(broker: Broker, options: argparse.Namespace) -> Run:
    """Run the service twice: idle on an empty queue, then on the filled one."""
    broker.fill(0)
    with service_of(broker, options) as service:
        idle_mib = idle_memory(service)
        service.stop()
    broker.fill(options.messages)
    with service_of(broker, options) as service, PeakWatch(service.program.pid) as watch:
        result = service.folder / 'result'
        wait_for_file(result, timeout_s=60 + 3 * sleep_s(options))
        broker.wait_settled()
        cpu_s = cpu_s_of(service.program.pid) or 0.0
        told = json.loads(result.read_text())
        service.stop()
    growth = Growth(idle_mib, watch.peak_mib)
    return Run(told['last'] - told['first'], told['most'], cpu_s / options.messages * 1e6, growth)


def measure_bare(options: argparse.Namespace) -> Growth:
    """Run the bare greenlets."""
    facts = {'{batches}': batches_of(options), '{workers}': options.workers, '{sleep}': options.sleep}
    text = BARE
    for name, value in facts.items():
        text = text.replace(name, str(value))
    with Service({'main.py': text}) as bare:
        idle_mib = idle_memory(bare)
        with PeakWatch(bare.program.pid) as watch:
            Path(bare.folder, 'go').touch()
            bare.program.wait_for('all slept', 60 + 2 * sleep_s(options))
        bare.program.wait()
    return Growth(idle_mib, watch.peak_mib)


def batches_of(options: argparse.Namespace) -> int:
    """How often all workers sleep."""
    return int(-(-options.messages // options.workers))


def sleep_s(options: argparse.Namespace) -> float:
    """How much of the time is sleep."""
    return batches_of(options) * float(options.sleep)


def service_of(broker: Broker, options: argparse.Namespace) -> Service:
    """The service under test."""
    tasks = TASKS.replace('{total}', str(options.messages)).replace('{sleep}', str(options.sleep))
    return listener(tasks, AMQP_URI=broker.uri, WORKER_MODE='thread', MAX_WORKERS=options.workers)


def idle_memory(service: Service) -> float:
    """What a process has that has started and has nothing to do."""
    service.wait_ready()
    time.sleep(REST_S)
    return memory_of(service.program.pid, 'USS')


def results_of(runs: list[Run], bare: list[Growth], options: argparse.Namespace) -> dict[str, Any]:
    """What was measured, for JSON."""
    ratios = Spread(run.growth.mib / growth.mib for run, growth in zip(runs, bare, strict=True))
    return {
        'first_start_to_last_end_s': Spread(run.took_s for run in runs).data(),
        'most_at_once': [run.most for run in runs],
        'cpu_us_per_message': Spread(run.cpu_us for run in runs).data(),
        'service': growth_data([run.growth for run in runs]),
        'bare': growth_data(bare),
        'memory_ratio': ratios.data(),
        'limits': {'first_start_to_last_end_s': sleep_s(options) + BESIDE_S, 'memory_ratio': RATIO_LIMIT},
    }


def growth_data(growths: list[Growth]) -> dict[str, Any]:
    """How one of the two grew, for JSON."""
    return {
        'idle_mib': Spread(growth.idle_mib for growth in growths).data(),
        'peak_mib': Spread(growth.peak_mib for growth in growths).data(),
        'growth_mib': Spread(growth.mib for growth in growths).data(),
    }


def shown(results: dict[str, Any], options: argparse.Namespace) -> str:
    """What was measured, to read."""
    took, ratio = results['first_start_to_last_end_s'], results['memory_ratio']
    each = ('service', results['service']), ('bare greenlets', results['bare'])
    rows = [[name, *growth_row(data, options.workers)] for name, data in each]
    return '\n'.join(
        [
            f'{options.messages} messages that sleep {options.sleep:g} s, MAX_WORKERS {options.workers}, '
            f'at once {min(results["most_at_once"])}:',
            f'first start to last end {Spread(took["rounds"]).shown(".2f")} s, '
            f'limit {results["limits"]["first_start_to_last_end_s"]:g}; '
            f'CPU {results["cpu_us_per_message"]["median"]:.0f} us per message, start included',
            '',
            table(['', 'idle USS MiB', 'peak USS MiB', 'growth MiB', 'kB per sleeper'], rows),
            '',
            f'growth, service to bare: {Spread(ratio["rounds"]).shown(".2f")}, limit {RATIO_LIMIT:g}',
        ]
    )


def growth_row(data: dict[str, Any], sleepers: int) -> list[str]:
    """How one of the two grew, to read."""
    texts = [Spread(data[key]['rounds']).shown('.1f') for key in ('idle_mib', 'peak_mib', 'growth_mib')]
    return [*texts, f'{data["growth_mib"]["median"] * 1024 / sleepers:.1f}']


def panels(results: dict[str, Any]) -> list[Panel]:
    """The chart."""
    took_s = results['first_start_to_last_end_s']['median']
    limit_s = results['limits']['first_start_to_last_end_s']
    growths = {name: {'growth': results[name]['growth_mib']['median']} for name in ('service', 'bare')}
    return [
        Panel('seconds, first start to last end', {'service': {'s': took_s}}, limit=limit_s),
        Panel('growth of memory (USS), MiB', growths, limit=growths['bare']['growth'] * RATIO_LIMIT),
    ]


if __name__ == '__main__':
    main()
