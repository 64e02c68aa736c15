"""How long does a message take from its publish to its handler, beside a bare amqp consumer?

    python benchmarks/latency.py [--quick] [--out DIR] [--seconds S] [--rate MESSAGES_A_SECOND]

Two programs in turns, `python main.py` in a temporary folder each, on a RabbitMQ node of this run's own:

- `service`: this framework in thread mode, MAX_WORKERS 100, a target that notes the time.
- `bare consumer`: gevent, monkey-patched, and plain amqp: `drain_events` in a loop, a callback that reads the
  JSON, notes the time, and acks each message; prefetch as the service's.

This process publishes, through one plain socket, frames that were packed beforehand but for the time: JSON of
300 bytes, persistent, to one durable queue. The latency of a message is the time at the start of its handler
less the time right before its bytes went to the socket, both by the monotonic clock, which all processes of a
machine share. The gaps between messages are random (exponential, the same in each round), as those of many
independent publishers are.

- `idle`: 50 messages a second. Each finds everything asleep.
- `half load`: half of what the slower of the two gets through from a full queue, which is measured first, in
  rounds of its own. The broker and this publisher run on the same CPUs.

The first fifth of a run is not counted. p50 and p99 are taken in each round, and their ratios between the two
of the same round; p99.9 over all rounds together, since a round has too few messages for it. A run whose
publisher could not keep its pace says so: it came to so many messages a second as are in the table.
"""

import argparse
import random
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from support.broker import EVENT, EXCHANGE, QUEUE, Broker
from support.bulk import Bulk, Event
from support.charts import Panel, draw
from support.options import parse, parser
from support.report import Spread, heading, save, table
from support.services import Service, listener

WORKERS, PREFETCH = 100, 125
IDLE_PER_S = 50
#: Of each run, so much is not counted: caches are cold, heaps grow.
WARM_UP = 0.2
RATIO_LIMIT = 1.5
BODY_SIZE = 300
PATIENCE_S = 120.0
POLL_S = 0.02
#: The time of publishing stands in the body as so many characters, which JSON lets begin with spaces.
TIME = '%20.9f'

#: Notes when each message was published and when its handler began, and writes all of them at the end.
NOTES = """\
import struct, time

NOTED = []

def note(payload):
    now = time.monotonic()
    NOTED.append((payload['at'], now))
    if len(NOTED) == {total}:
        with open('notes.new', 'wb') as file:
            for pair in NOTED:
                file.write(struct.pack('dd', *pair))
        os.rename('notes.new', 'notes')
"""
TASKS = f'import os\n{NOTES}\n\nwork = note\n'
BARE = f"""\
from gevent import monkey

monkey.patch_all()
import json, os, signal, sys
import amqp
{NOTES}

def work(message):
    note(json.loads(message.body))
    message.channel.basic_ack(message.delivery_tag)

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
connection = amqp.Connection(host='127.0.0.1:{{port}}')
connection.connect()
channel = connection.channel()
channel.basic_qos(0, {PREFETCH}, False)
channel.basic_consume('{QUEUE}', callback=work)
print('ready after nothing', flush=True)
while True:
    connection.drain_events()
"""


class Run(NamedTuple):
    """What was seen of one program under one load.

    Attributes:
        per_s: How many messages a second were published, or handled from a full queue.
        latencies_s: From publish to handler, of those that count, in order of size.
    """

    per_s: float
    latencies_s: list[float]

    def at(self, share: float) -> float:
        """The latency in milliseconds that so much of all messages keep."""
        return percentile_ms(self.latencies_s, share)


PROGRAMS = ('bare consumer', 'service')
Runs = dict[str, list[Run]]


def main() -> None:
    """Run it."""
    options = options_of()
    with Broker() as broker:
        version = broker.version
        print(heading(version), end='\n\n')
        full = in_turns(broker, options, None)
        slower = min(Spread(run.per_s for run in runs).median for runs in full.values())
        rates = {'idle': IDLE_PER_S, 'half load': options.rate or slower / 2}
        loads = {load: in_turns(broker, options, per_s) for load, per_s in rates.items()}
    results = {'full': full_data(full), 'loads': {load: load_data(runs) for load, runs in loads.items()}}
    results['limit'] = RATIO_LIMIT
    print(f'\n{shown(results)}\n')
    print(save('latency', options.out, results, rabbitmq=version, options=vars(options)))
    if chart := draw(options.out / 'latency.png', 'from publish to handler', panels(results)):
        print(chart)


def options_of() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__, rounds=7, quick_rounds=2)
    made.add_argument('--seconds', type=float, help='how long each run is; else 8, quick 3')
    made.add_argument('--rate', type=float, help='messages a second at half load; else as measured')
    options = parse(made)
    options.seconds = options.seconds or (3.0 if options.quick else 8.0)
    return options


def in_turns(broker: Broker, options: argparse.Namespace, per_s: float | None) -> Runs:
    """Take the programs in turns, in so many rounds.

    Args:
        broker: Where.
        options: The command line's.
        per_s: How many messages a second are published; None: the queue is full before.
    """
    runs: Runs = {name: [] for name in PROGRAMS}
    for number in range(options.rounds):
        for name in PROGRAMS if number % 2 else reversed(PROGRAMS):
            if per_s is None:
                runs[name].append(measure_full(broker, name, int(3_000 * options.seconds)))
            else:
                runs[name].append(measure(broker, name, per_s, options.seconds, seed=number))
        load = 'full queue' if per_s is None else f'{per_s:,.0f} messages/s'
        print(f'{load}: round {number + 1} of {options.rounds} done', flush=True)
    return runs


def program(broker: Broker, name: str, messages: int) -> Service:
    """One of the programs, which notes so many messages."""
    if name == 'service':
        config = {
            'AMQP_URI': broker.uri,
            'WORKER_MODE': 'thread',
            'MAX_WORKERS': WORKERS,
            'PREFETCH': PREFETCH,
        }
        return listener(TASKS.replace('{total}', str(messages)), **config)
    text = BARE.replace('{total}', str(messages)).replace('{port}', str(broker.node.port))
    return Service({'main.py': text})


def measure_full(broker: Broker, name: str, messages: int) -> Run:
    """How many a second it gets through from a queue that was full before it started."""
    broker.fill(0)
    with Bulk(broker.node.port) as bulk:
        bulk.send(Event(EXCHANGE, EVENT, body_of(0.0)) for _ in range(messages))
    with program(broker, name, messages) as service:
        noted = notes_of(service, messages)
        service.stop()
    counted = noted[int(WARM_UP * messages) :]
    return Run((len(counted) - 1) / (counted[-1][1] - counted[0][1]), [])


def measure(broker: Broker, name: str, per_s: float, seconds: float, seed: int) -> Run:
    """Publish at a rate, and see how long each message takes to its handler."""
    messages = max(5, int(per_s * seconds))
    broker.fill(0)
    with program(broker, name, messages) as service, Bulk(broker.node.port) as bulk:
        service.wait_ready()
        publish(bulk, messages, per_s, seed)
        noted = notes_of(service, messages)
        service.stop()
    counted = sorted(noted)[int(WARM_UP * messages) :]
    reached = (len(counted) - 1) / (counted[-1][0] - counted[0][0])
    return Run(reached, sorted(began - at for at, began in counted))


def publish(bulk: Bulk, messages: int, per_s: float, seed: int) -> None:
    """Publish by a random plan; what is due goes at once, each message in a write of its own."""
    chance = random.Random(seed)
    frames = bulk.packed(Event(EXCHANGE, EVENT, body_of(0.0)))
    stamp = frames.index((TIME % 0.0).encode())
    before, after = frames[:stamp], frames[stamp + len(TIME % 0.0) :]
    due = time.monotonic()
    for _ in range(messages):
        due += chance.expovariate(per_s)
        wait_s = due - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        bulk.write(b'%b%b%b' % (before, (TIME % time.monotonic()).encode(), after))


def body_of(at: float) -> bytes:
    """JSON with the time of publishing, of the wanted size."""
    body = '{"at": %s, "filling": ""}' % (TIME % at)
    return body.replace('""', f'"{"x" * (BODY_SIZE - len(body))}"').encode()


def notes_of(service: Service, messages: int) -> list[tuple[float, float]]:
    """What a program noted: when each message was published and when its handler began."""
    path = Path(service.folder, 'notes')
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        if not service.program.running or time.monotonic() > deadline:
            raise RuntimeError(f'it has not noted all messages:\n{service.program.output}')
        time.sleep(POLL_S)
    return list(struct.iter_unpack('dd', path.read_bytes()))


def percentile_ms(ordered_s: Sequence[float], share: float) -> float:
    """What so much of all values are not above, in milliseconds."""
    return ordered_s[min(len(ordered_s) - 1, int(share * len(ordered_s)))] * 1000


def full_data(full: Runs) -> dict[str, Any]:
    """What was measured with a full queue, for JSON."""
    return {name: Spread(run.per_s for run in runs).data() for name, runs in full.items()}


def load_data(runs: Runs) -> dict[str, Any]:
    """What was measured under one load, for JSON."""
    pairs = list(zip(runs['service'], runs['bare consumer'], strict=True))
    ratios = {
        name: Spread(ours.at(share) / bare.at(share) for ours, bare in pairs).data()
        for name, share in (('p50', 0.5), ('p99', 0.99))
    }
    programs = {}
    for name, rounds in runs.items():
        together = sorted(latency for run in rounds for latency in run.latencies_s)
        programs[name] = {
            'messages': len(together),
            'published_per_s': Spread(run.per_s for run in rounds).data(),
            'p50_ms': Spread(run.at(0.5) for run in rounds).data(),
            'p99_ms': Spread(run.at(0.99) for run in rounds).data(),
            'p999_ms': percentile_ms(together, 0.999),
        }
    return {'programs': programs, 'ratios': ratios}


def shown(results: dict[str, Any]) -> str:
    """What was measured, to read."""
    rows = []
    for load, data in results['loads'].items():
        for name, figures in data['programs'].items():
            per_s, *points = (
                Spread(figures[key]['rounds']).shown(form)
                for key, form in (('published_per_s', ',.0f'), ('p50_ms', '.2f'), ('p99_ms', '.2f'))
            )
            rows.append([load, name, per_s, *points, f'{figures["p999_ms"]:.2f}'])
        ratios = [Spread(data['ratios'][key]['rounds']).shown('.2f') for key in ('p50', 'p99')]
        rows.append([load, 'service to bare', '', *ratios, ''])
    latencies = table(['load', 'program', 'messages/s', 'p50 ms', 'p99 ms', 'p99.9 ms'], rows)
    full = [[name, Spread(data['rounds']).shown(',.0f')] for name, data in results['full'].items()]
    return f'{table(["from a full queue", "messages/s"], full)}\n\n{latencies}'


def panels(results: dict[str, Any]) -> list[Panel]:
    """The chart."""

    def bars(load: str) -> dict[str, dict[str, float]]:
        made: dict[str, dict[str, float]] = {'p50': {}, 'p99': {}, 'p99.9': {}}
        for name, figures in results['loads'][load]['programs'].items():
            made['p50'][name] = figures['p50_ms']['median']
            made['p99'][name] = figures['p99_ms']['median']
            made['p99.9'][name] = figures['p999_ms']
        return made

    return [Panel(f'{load}: milliseconds', bars(load), log=True) for load in results['loads']]


if __name__ == '__main__':
    main()
