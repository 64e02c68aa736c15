"""What targets may do to their process, and what becomes of the service: nothing."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.acceptance.conftest import Write
from tests.acceptance.test_limits import QUEUE, connections, dead_letters
from tests.support.amqp_client import Client
from tests.support.ledger import Ledger
from tests.support.patience import PATIENCE_S
from tests.support.program import is_alive
from tests.support.rabbitmq import Node

HARMLESS = 20

#: How a message's target dies, by its id, and what the dead letter tells of it.
DEATHS = {
    'segfault': 'SIGSEGV',
    'exit-0': 'exited with code 0',
    'exit-1': 'exited with code 1',
    'abort': 'SIGABRT',
    'kill': 'SIGKILL',
    'out-of-memory': 'SIGKILL',
    'close-everything': 'closed its pipe, and was killed',
}
DEADLY = """\
import ctypes, resource, signal
how = payload['id']
if how == 'segfault':
    ctypes.string_at(0)
if how.startswith('exit'):
    os._exit(int(how[-1]))
if how == 'abort':
    os.abort()
if how == 'kill':
    os.kill(os.getpid(), signal.SIGKILL)
if how == 'out-of-memory':
    pages = int(open('/proc/self/statm').read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + 50_000_000,) * 2)
    try:
        bytearray(200_000_000)
    except MemoryError:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory is overcommitted
if how == 'close-everything':
    os.closerange(3, 256)
    signal.pause()"""

#: What a target raises, by its id, and what the dead letter tells of it.
ERRORS = {
    'plain': 'ValueError: plain',
    'unpicklable-arguments': 'ValueError: <function',
    'no-text': 'tasks.Mute: <not printable: RuntimeError while describing it>',
    'BaseException': 'BaseException: x',
    'SystemExit': 'SystemExit: x',
    'KeyboardInterrupt': 'KeyboardInterrupt: x',
    'GeneratorExit': 'GeneratorExit: x',
    'GreenletExit': 'greenlet.GreenletExit: x',
    'MemoryError': 'MemoryError: ',
}
RAISING = """\
how = payload['id']
if how == 'plain':
    raise ValueError(how)
if how == 'unpicklable-arguments':
    raise ValueError(lambda: None)
if how == 'no-text':
    raise Mute
if how == 'GreenletExit':
    import greenlet
    raise greenlet.GreenletExit('x')
if how == 'MemoryError':
    bytearray(2 ** 62)
if not how.startswith('fine'):
    raise getattr(__import__('builtins'), how)('x')"""
MUTE = """

class Mute(Exception):
    def __str__(self): raise RuntimeError
    def __reduce__(self): raise RuntimeError
"""


def publish(client: Client, *names: str) -> None:
    for name in names:
        client.publish('source.events', 'event', {'id': name}, message_id=name)


def harmless() -> list[str]:
    return [f'fine-{number}' for number in range(HARMLESS)]


def test_whatever_a_target_raises_is_one_failed_message(
    mode: str, write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """Told in words, in each mode; its neighbours run, and the service ends as always."""
    with write(amqp_uri, mode, tasks=ledger.tasks(RAISING) + MUTE) as program:
        program.wait_for('ready')
        publish(amqp_client, *ERRORS, *harmless())
        ledger.wait_for('F', HARMLESS)
        dead = dead_letters(amqp_client, len(ERRORS))
        told = {letter.properties.message_id: letter.headers for letter in dead}
        for name, error in ERRORS.items():
            assert told[name]['greenmicro.reason'] == 'target error'
            assert told[name]['greenmicro.error'].startswith(error), name
        assert program.stop() == 0
        assert not program.survivors()
    assert set(ledger.of('S').values()) == {1}


def test_a_dying_child_costs_its_message_and_nothing_else(
    write: Write, ledger: Ledger, rabbitmq: Node, vhost: str, amqp_uri: str, amqp_client: Client
) -> None:
    """Each way to die; the parent keeps its connections, and its children are as many as before."""
    tasks = ledger.tasks(DEADLY)
    with write(amqp_uri, 'process', tasks=tasks, MAX_CRASHES=1, PREFETCH=5) as program:
        program.wait_for('ready')
        before = connections(rabbitmq, vhost)
        assert len(before) > 1
        deaths, fine = iter(DEATHS), harmless()
        for number, name in enumerate(fine):
            publish(amqp_client, name, *([next(deaths)] if number % 3 == 0 and number < 21 else []))
        ledger.wait_for('F', HARMLESS)
        dead = dead_letters(amqp_client, len(DEATHS))
        told = {letter.properties.message_id: letter.headers for letter in dead}
        for name, end in DEATHS.items():
            assert told[name]['greenmicro.reason'] == 'worker lost'
            assert end in told[name]['greenmicro.error']
        assert connections(rabbitmq, vhost) == before
        wait_for_children(program.pid, 2)
        assert program.stop() == 0
        assert not program.survivors()
    assert set(ledger.of('S').values()) == {1}


def can_run(process: psutil.Process) -> bool:
    """Whether a process is alive and not stopped."""
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def wait_for_children(pid: int, count: int, timeout_s: float = PATIENCE_S) -> set[int]:
    """Return the children of a service when there are so many that are alive."""
    deadline = time.monotonic() + timeout_s
    while True:
        children = {child.pid for child in psutil.Process(pid).children() if can_run(child)}
        if len(children) == count:
            return children
        assert time.monotonic() < deadline, children
        time.sleep(0.01)


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGSTOP], ids=['killed', 'stopped'])
def test_an_idle_child_that_is_lost_is_replaced_within_a_second(
    number: signal.Signals, write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """And the next messages run in those that are there."""
    with write(amqp_uri, 'process', tasks=ledger.tasks()) as program:
        program.wait_for('ready')
        publish(amqp_client, *harmless())
        ledger.wait_for('F', HARMLESS)
        children = wait_for_children(program.pid, 2)
        victim = min(children)
        os.kill(victim, number)
        began = time.monotonic()
        while victim in wait_for_children(program.pid, 2):
            time.sleep(0.01)
        assert time.monotonic() - began < 1
        publish(amqp_client, 'after-1', 'after-2')
        ledger.wait_for('F', HARMLESS + 2)
        assert program.stop() == 0


RESULTS = """\
how = payload['id']
if how == 'unserialisable':
    return object()
if how == 'large':
    return 'x' * 100_000_000
if how == 'generator':
    return (number for number in range(3))"""


@pytest.mark.parametrize('place', ['thread', 'process'])
def test_an_events_result_is_dropped_whatever_it_is(
    place: str, write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """Nobody waits for it: the message has succeeded."""
    names = ['unserialisable', 'large', 'generator']
    with write(amqp_uri, place, tasks=ledger.tasks(RESULTS)) as program:
        program.wait_for('ready')
        publish(amqp_client, *names, 'fine')
        ledger.wait_for('S', 4)
        ledger.wait_for('F', 1)
        assert program.stop() == 0
        assert 'failed' not in program.output
    amqp_client.wait_for_counts(QUEUE, ready=0)
    with pytest.raises(LookupError):
        amqp_client.queue_counts(f'{QUEUE}.dead')


FLOOD = """\
import sys
how = payload['id']
if how == 'flood':
    for _ in range(16):
        sys.stdout.write('o' * 999_999 + '\\n')
        sys.stderr.write('e' * 999_999 + '\\n')
if how == 'close':
    os.close(1)
    os.close(2)
if how == 'read':
    assert sys.stdin.read() == ''"""


def test_output_and_input_block_nobody(
    write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """A flood of 32 MB, closed descriptors, a read of standard input; the parent grows by none of it."""
    with write(amqp_uri, 'process', tasks=ledger.tasks(FLOOD)) as program:
        program.wait_for('ready')
        publish(amqp_client, *harmless())
        ledger.wait_for('F', HARMLESS)
        before = psutil.Process(program.pid).memory_info().rss
        publish(amqp_client, 'flood', 'read', 'close', *(f'{name}-more' for name in harmless()))
        ledger.wait_for('F', 2 * HARMLESS + 3)
        assert psutil.Process(program.pid).memory_info().rss < before + 10_000_000
        assert program.stop() == 0
        assert not program.survivors()
        assert program.output.count('o' * 1_000) > 0
    assert set(ledger.of('S').values()) == {1}


def test_a_target_may_fork_while_its_threads_hold_locks(
    write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """The copy hangs on none of ours, may not publish, and the target goes on."""
    body = """\
import threading
producer = dependencies['producer']
threads = [threading.Thread(target=producer, args=('noise', [n])) for n in range(4)]
for thread in threads: thread.start()
forked = os.fork()
if not forked:
    try:
        producer('from the copy', {})
    except Exception as error:
        os._exit(7 if 'forked' in str(error) else 8)
    os._exit(9)
for thread in threads: thread.join()
assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 7"""
    route = "Route('tasks.work', dependencies={'producer': Producer()})"
    entrypoints = f"[EventListener('source', 'event', route={route})]"
    amqp_client.declare_exchange('service.events')
    amqp_client.declare_queue('copies')
    amqp_client.bind('copies', 'service.events', 'from the copy')
    with write(amqp_uri, 'process', tasks=ledger.tasks(body), entrypoints=entrypoints) as program:
        program.wait_for('ready')
        publish(amqp_client, *harmless())
        ledger.wait_for('F', HARMLESS)
        assert program.stop() == 0
        assert not program.survivors()
    assert amqp_client.queue_counts('copies') == (0, 0)


def test_a_program_that_outlives_its_target_dies_with_the_child(
    tmp_path: Path, write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """It holds neither the pipe nor the service's end up."""
    body = "import subprocess\nsubprocess.Popen(['sleep', '1000'], close_fds=False)"
    with write(amqp_uri, 'process', tasks=ledger.tasks(body)) as program:
        program.wait_for('ready')
        publish(amqp_client, 'one', 'two')
        ledger.wait_for('F', 2)
        assert len(program.survivors()) == 4  # two children, two programs
        assert program.stop() == 0
        assert not program.survivors()


def test_fifty_children_are_spawned_under_load_and_none_hangs(
    write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """One a message."""
    with write(amqp_uri, 'process', tasks=ledger.tasks(), MAX_TASKS_PER_CHILD=1) as program:
        program.wait_for('ready')
        publish(amqp_client, *map(str, range(50)))
        ledger.wait_for('F', 50)
        assert program.stop() == 0
        assert not program.survivors()
    assert len(ledger.pids) == 50
    assert set(ledger.of('S').values()) == {1}


def test_children_die_with_a_parent_that_is_killed_under_load(
    write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """Within a second; the next service runs what was left, and only what was running runs twice."""
    sent = 300
    with write(amqp_uri, 'process', tasks=ledger.tasks('time.sleep(0.005)')) as program:
        program.wait_for('ready')
        amqp_client.publish_many('source.events', 'event', [{'id': str(n)} for n in range(sent)])
        ledger.wait_for('F', 20)
        children = [psutil.Process(pid) for pid in program.children()]
        assert len(children) == 2
        program.signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=1)
        assert not any(map(is_alive, alive))
        program.wait()
        assert not program.survivors()
    with write(amqp_uri, 'process', tasks=ledger.tasks()) as program:
        program.wait_for('ready')
        ledger.wait_for('F', sent)
        assert program.stop() == 0
    # MAX_WORKERS and its margin are 4 at most unacked, and acks of the last moment may be lost.
    starts = ledger.of('S')
    assert sum(starts.values()) - len(starts) <= 4


def test_control_c_ends_the_whole_group_cleanly(
    mode: str, write: Write, ledger: Ledger, amqp_uri: str, amqp_client: Client
) -> None:
    """SIGINT to the process group, and to each child: no traceback, what runs finishes, exit 0."""
    with write(amqp_uri, mode, tasks=ledger.tasks('time.sleep(0.2)')) as program:
        program.wait_for('ready')
        publish(amqp_client, 'one', 'two')
        ledger.wait_for('S', 2)
        for pid in program.children():
            os.kill(pid, signal.SIGINT)
        os.killpg(program.pid, signal.SIGINT)
        assert program.wait() == 0
        assert 'Traceback' not in program.output
        assert not program.survivors()
    assert ledger.of('F') == {'one': 1, 'two': 1}
