"""Runs a peer's programs against the broker, and sees to it that it did what it is measured for."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from ..broker import Broker
from ..processes import wait_for_file
from ..sampling import Cost, steady, watch
from ..services import Service
from .base import PAYLOAD, PUBLISHERS, Peer, Program, Publishing
from .counting import read_late
from .environments import python_of
from .filling import HOLD, UNTOLD, Filler

PATIENCE_S = 60.0
#: The most that is published beside a service whose latency is measured: with more, the publisher and the
#: broker on the same CPUs would be what is measured.
MOST_PER_S = 4_000


#: A file system in memory, where Linux has one, and how much of it has to be free, in bytes.
MEMORY_FOLDER = Path('/dev/shm')
ENOUGH = 2 * 2**30


def keep_in_memory() -> bool:
    """Have temporary files, the broker's above all, in memory; return whether there is room for them."""
    if not MEMORY_FOLDER.is_dir() or shutil.disk_usage(MEMORY_FOLDER).free < ENOUGH:
        return False
    tempfile.tempdir = str(MEMORY_FOLDER)
    return True


class Consumed(NamedTuple):
    """What a consumer did.

    Attributes:
        cost: From when a tenth was done to the last look before all was.
        paced_per_s: How many a second were published to it afterwards; 0 where that was left out.
        late_s: How late their handlers began, sorted.
    """

    cost: Cost
    paced_per_s: float = 0.0
    late_s: tuple[float, ...] = ()


def consume(broker: Broker, peer: Peer, messages: int, paced_s: float = 0.0) -> Consumed:
    """Fill a peer's queue, run its service until all is done, then for a while at half of that load.

    Args:
        broker: The broker.
        peer: Whose consumer.
        messages: How many are in the queue when it starts.
        paced_s: How long to publish at half load; 0 leaves that out, with the look at when it acks.

    Raises:
        RuntimeError: It handled more than there was, or acked what it had not handled.
        TimeoutError: It handled less, or did not ack all.
    """
    assert peer.consumer is not None
    if peer.envelope is None:
        with running(broker, peer, peer.consumer, messages) as service:
            return Consumed(steady(watch(service.tree, service.done, messages)))
    with Filler(broker.node.port, peer.envelope) as filler:
        filler.fill(messages)
        wait_for_counts(broker, peer.envelope.queue, ready=messages, unacked=0)
        with running(broker, peer, peer.consumer, messages) as service:
            cost = steady(watch(service.tree, service.done, messages))
            wait_for_counts(broker, peer.envelope.queue, ready=0, unacked=0)
            if not paced_s:
                return Consumed(cost)
            per_s = min(MOST_PER_S, cost.per_s / 2)
            paced = filler.pace(per_s, paced_s)
            watch(service.tree, service.done, messages + paced)
            wait_for_counts(broker, peer.envelope.queue, ready=0, unacked=0)
            late_s = read_late(service.folder)
            if len(late_s) != paced:
                raise RuntimeError(f'{len(late_s)} latencies of {paced} messages')
            check_late_ack(broker, peer, filler, service)
        return Consumed(cost, per_s, tuple(late_s))


def check_late_ack(broker: Broker, peer: Peer, filler: Filler, service: Service) -> None:
    """Kill the service while it handles a message, which must be in its queue again then.

    Raises:
        TimeoutError: It is not: the peer acks before its handler has ended.
    """
    assert peer.envelope is not None
    filler.fill(1, HOLD)
    wait_for_file(service.counters / '..' / 'held')
    wait_for_counts(broker, peer.envelope.queue, ready=0, unacked=1)
    service.program.close()
    wait_for_counts(broker, peer.envelope.queue, ready=1, unacked=0)


def publish(broker: Broker, peer: Peer, messages: int) -> Cost:
    """Have a peer publish so many messages with confirms, and see that they are all there.

    Raises:
        TimeoutError: They are not.
    """
    publishing = peer.publishing
    assert publishing is not None
    prepare(broker, publishing)
    with ExitStack() as stack:
        if publishing.start is not None:
            stack.enter_context(Filler(broker.node.port, publishing.start)).fill(PUBLISHERS)
        service = stack.enter_context(running(broker, peer, publishing.program, messages))
        cost = steady(watch(service.tree, service.done, messages))
        wait_for_counts(broker, publishing.queue, ready=messages, unacked=0)
    broker.client.delete_queue(publishing.queue)
    return cost


def prepare(broker: Broker, publishing: Publishing) -> None:
    """Have a fresh queue for what is published, bound to where it is published."""
    client = broker.client
    client.delete_queue(publishing.queue)
    client.declare_queue(publishing.queue, arguments=dict(publishing.arguments))
    if publishing.exchange:
        client.declare_exchange(publishing.exchange)
        client.bind(publishing.queue, publishing.exchange, 'event')


@contextmanager
def running(broker: Broker, peer: Peer, program: Program, messages: int) -> Iterator[Service]:
    """Run a program of a peer; what goes wrong meanwhile is told with its output."""
    with service_of(broker, peer, program, messages) as service:
        try:
            yield service
        except (TimeoutError, RuntimeError) as error:
            raise type(error)(f'{peer.name}: {error}; its output:\n{service.program.output}') from error


def service_of(broker: Broker, peer: Peer, program: Program, messages: int) -> Service:
    """A program of a peer, to be started."""
    python = python_of(peer)
    known = {'{uri}': broker.uri, '{messages}': str(messages)}
    payload = f'PAYLOAD = {PAYLOAD | {"sent": UNTOLD}!r}\n'
    files = {name: _filled(text, known) for name, text in program.files.items()}
    arguments = [_filled(argument, {'{bin}': str(python.parent)}) for argument in program.arguments]
    return Service({**files, 'payload.py': payload}, str(python), arguments, program.environment)


def wait_for_counts(broker: Broker, queue: str, ready: int, unacked: int) -> None:
    """Wait until a queue holds so many messages, and no other queue any.

    Raises:
        TimeoutError: It did not come to that, with what was last seen.
    """
    deadline = time.monotonic() + PATIENCE_S
    wanted = {queue: (ready, unacked)} if ready or unacked else {}
    while (seen := _held(broker)) != wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f'wanted (ready, unacked) {wanted} and no others, last seen {seen}')
        time.sleep(0.01)


def _held(broker: Broker) -> dict[str, tuple[int, int]]:
    queues = broker.node.queues().items()
    return {name: (counts.ready, counts.unacked) for name, counts in queues if counts.ready + counts.unacked}


def _filled(text: str, known: dict[str, str]) -> str:
    for name, value in known.items():
        text = text.replace(name, value)
    return text


def percentile(values: tuple[float, ...], share: float) -> float:
    """The value that so large a share of sorted values does not exceed."""
    return values[min(len(values) - 1, int(len(values) * share))]
