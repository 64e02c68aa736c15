"""How long does a service take to start and to stop, what does it cost idle, and what of it is ours?

    python benchmarks/startup.py [--quick] [--out DIR] [--idle SECONDS]

A message waits in the queue; `python main.py` (thread mode, one listener) is started, and its target notes
the time. The service is then left idle, its processor time is read before and after, and it gets SIGTERM. All
on a RabbitMQ node of this run's own, in interleaved rounds, after one that is not counted (page cache, byte
code). Beside it, from the start of the process as well:

- `python alone`: the interpreter to its first line, with what the environment makes it load (`.pth` files).
- `bare imports`: gevent, `monkey.patch_all()`, kombu and amqp imported, the least that such a service loads.
- `bare consumer`: the same, then connected by plain amqp, the queue declared and bound, to its first message;
  what no service on these libraries can be under.
"""

import argparse
import os
import time
from typing import Any, NamedTuple

from support.broker import EVENT, EXCHANGE, QUEUE, Broker
from support.charts import Panel, draw
from support.options import parse, parser
from support.processes import cpu_s_of, wait_for_file
from support.report import Spread, heading, save, table
from support.services import Service, listener

FIRST_LIMIT_S, STOP_LIMIT_S, IDLE_LIMIT = 0.35, 0.3, 1.0

NOTE = """\
import os, time

def note():
    with open('first', 'w') as file:
        file.write('%18.6f%18.6f' % (time.monotonic(), time.process_time()))
"""
#: '%18.6f%18.6f'
NOTE_SIZE = 36

TASKS = f'{NOTE}\n\ndef work(payload):\n    note()\n'

IMPORTS = """\
from gevent import monkey

monkey.patch_all()
import amqp, kombu
"""

CONSUMER = """\
import os

connection = amqp.Connection(host='127.0.0.1:{port}')
connection.connect()
channel = connection.channel()
channel.exchange_declare('{exchange}', 'topic', durable=True, auto_delete=False)
channel.queue_declare('{queue}', durable=True, auto_delete=False)
channel.queue_bind('{queue}', '{exchange}', '{event}')
got = []
channel.basic_consume('{queue}', callback=got.append)
while not got:
    connection.drain_events()
note()
got[0].channel.basic_ack(got[0].delivery_tag)
connection.close()
"""


class First(NamedTuple):
    """How a program came to its note.

    Attributes:
        took_s: From the start of the process.
        cpu_s: What processor time it took; that holds better on a machine that does other things too.
    """

    took_s: float
    cpu_s: float


class Life(NamedTuple):
    """What was seen of one service.

    Attributes:
        first: How it came to its first message.
        idle_percent: Of one CPU, while it had nothing to do.
        stop_s: From SIGTERM to the end of the process.
    """

    first: First
    idle_percent: float
    stop_s: float


def main() -> None:
    """Run it."""
    options = options_of()
    # An installed package has its byte code; a checkout has it from the round that is not counted on, but not
    # where this is set, and compiling ours takes longer than loading it.
    os.environ.pop('PYTHONDONTWRITEBYTECODE', None)
    lives: list[Life] = []
    with Broker() as broker:
        version = broker.version
        print(heading(version), end='\n\n')
        bare: dict[str, list[First]] = {name: [] for name in bare_programs(broker)}
        for number in range(options.rounds + 1):
            seen = measure(broker, options), {name: measure_bare(broker, name) for name in bare}
            if not number:
                continue
            lives.append(seen[0])
            for name, first in seen[1].items():
                bare[name].append(first)
            print(f'round {number} of {options.rounds} done', flush=True)
    results = results_of(lives, bare)
    print(f'\n{shown(results)}\n')
    print(save('startup', options.out, results, rabbitmq=version, options=vars(options)))
    title = 'seconds from `python main.py` on'
    if chart := draw(options.out / 'startup.png', title, panels(results)):
        print(chart)


def options_of() -> argparse.Namespace:
    """Read the command line."""
    made = parser(__doc__, rounds=7, quick_rounds=3)
    made.add_argument('--idle', type=float, help='seconds that it is left idle; else 10, quick 2')
    options = parse(made)
    options.idle = options.idle or (2.0 if options.quick else 10.0)
    return options


def measure(broker: Broker, options: argparse.Namespace) -> Life:
    """Start a service, leave it idle, stop it."""
    broker.fill(1)
    with listener(TASKS, AMQP_URI=broker.uri, WORKER_MODE='thread') as service:
        first = noted(service)
        broker.wait_settled()
        time.sleep(0.5)  # what it does once, after its first message, is no idling
        idle_percent = idle_percent_of(service.program.pid, options.idle)
        return Life(first, idle_percent, service.stop())


def idle_percent_of(pid: int, idle_s: float) -> float:
    """What a process takes of one CPU over some seconds."""
    before = cpu_s_of(pid)
    began = time.monotonic()
    time.sleep(idle_s)
    after = cpu_s_of(pid)
    if before is None or after is None:
        raise RuntimeError(f'process {pid} ended while it was to idle')
    return (after - before) / (time.monotonic() - began) * 100


def bare_programs(broker: Broker) -> dict[str, str]:
    """What to compare with."""
    port = str(broker.node.port)
    consumer = CONSUMER.format(port=port, exchange=EXCHANGE, queue=QUEUE, event=EVENT)
    return {
        'python alone': f'{NOTE}\n\nnote()\n',
        'bare imports': f'{IMPORTS}\n{NOTE}\n\nnote()\n',
        'bare consumer': f'{IMPORTS}\n{NOTE}\n\n{consumer}',
    }


def measure_bare(broker: Broker, name: str) -> First:
    """Run one of them to its note."""
    broker.fill(1)
    with Service({'main.py': bare_programs(broker)[name]}) as bare:
        first = noted(bare)
        bare.program.wait()
    return first


def noted(service: Service) -> First:
    """Wait for a program's note; the monotonic clock is one for all."""
    path = service.folder / 'first'
    wait_for_file(path, NOTE_SIZE)
    at, cpu_s = map(float, path.read_text().split())
    return First(at - service.program.started_at, cpu_s)


def results_of(lives: list[Life], bare: dict[str, list[First]]) -> dict[str, Any]:
    """What was measured, for JSON."""
    return {
        'first_message_s': Spread(life.first.took_s for life in lives).data(),
        'first_message_cpu_s': Spread(life.first.cpu_s for life in lives).data(),
        'stop_s': Spread(life.stop_s for life in lives).data(),
        'idle_percent': Spread(life.idle_percent for life in lives).data(),
        'bare_s': {name: Spread(one.took_s for one in firsts).data() for name, firsts in bare.items()},
        'bare_cpu_s': {name: Spread(one.cpu_s for one in firsts).data() for name, firsts in bare.items()},
        'limits': {'first_message_s': FIRST_LIMIT_S, 'stop_s': STOP_LIMIT_S, 'idle_percent': IDLE_LIMIT},
    }


def shown(results: dict[str, Any]) -> str:
    """What was measured, to read."""

    def row(name: str, form: str, limit: float | None, *figures: dict[str, Any]) -> list[str]:
        shown = [Spread(data['rounds']).shown(form) for data in figures]
        return [name, *shown, *[''] * (2 - len(shown)), '' if limit is None else f'{limit:g}']

    bare = results['bare_cpu_s']
    rows = [
        *(row(f'{name}, s', '.3f', None, data, bare[name]) for name, data in results['bare_s'].items()),
        row(
            'service to its first message, s',
            '.3f',
            FIRST_LIMIT_S,
            results['first_message_s'],
            results['first_message_cpu_s'],
        ),
        row('idle service, SIGTERM to exit, s', '.3f', STOP_LIMIT_S, results['stop_s']),
        row('idle service, percent of a CPU', '.2f', IDLE_LIMIT, results['idle_percent']),
    ]
    return table(['', 'median (lowest-highest)', 'CPU', 'limit'], rows)


def panels(results: dict[str, Any]) -> list[Panel]:
    """The chart."""
    starts = {name: {'s': data['median']} for name, data in results['bare_s'].items()}
    stop = {'s': results['stop_s']['median']}
    starts['service'] = {'s': results['first_message_s']['median']}
    return [
        Panel('start, s', starts, limit=FIRST_LIMIT_S),
        Panel('idle service, SIGTERM to exit, s', {'service': stop}, limit=STOP_LIMIT_S),
    ]


if __name__ == '__main__':
    main()
