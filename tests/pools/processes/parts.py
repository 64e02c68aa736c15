"""What the tests of the process pool share: an entrypoint that keeps outcomes, a publisher, targets."""

import json
import os
import time
from collections.abc import Callable
from typing import Any

import gevent
import psutil
from gevent.event import Event

from greenmicro.entrypoints import Entrypoint
from greenmicro.messages import Message, Outcome, Publication
from greenmicro.pools.processes import ProcessPool
from greenmicro.routes import Route

MakePool = Callable[..., ProcessPool]

CONFIG = {'AMQP_URI': 'memory://', 'SERVICE_NAME': 'tested', 'WORKER_MODE': 'process', 'MAX_WORKERS': 1}
TIMEOUT_S = 60

TARGETS = """
import ctypes, json, os, pathlib, signal, subprocess, sys, threading, time

def pid(payload): return os.getpid()
def modules(payload): return sorted(sys.modules)
def size(payload): return len(payload)
def large(payload): return 'x' * payload
def fail(payload): raise ValueError(payload)
def leave(payload): sys.exit(payload)

def die(how):
    if how == 'kill': os.kill(os.getpid(), signal.SIGKILL)
    if how == 'segfault': ctypes.string_at(0)
    if how == 'abort': os.abort()
    if how == 'close the pipe':
        os.closerange(3, 256)
        while True: signal.pause()
    os._exit(how)

def block(payload, producer):
    producer('blocked', os.getpid())
    while True: signal.pause()

def block_with_program(payload, producer):
    program = subprocess.Popen(['sleep', '1000'])
    producer('blocked', program.pid)
    while True: signal.pause()

def publish(payload, producer):
    producer('event', payload, mandatory=True)

def errors(payload, producer):
    found = []
    for name in payload:
        try: producer(name, {})
        except Exception as error: found.append([type(error).__module__, type(error).__name__, str(error)])
    return found

def odd_header(payload, producer):
    class Local(str): pass
    producer('event', {}, headers={'odd': Local('x')})

class Word(str): pass

def own_header(payload, producer): producer('event', {}, headers={'odd': Word('x')})

def publish_from_threads(payload, producer):
    def many(name):
        for number in range(20): producer(name, [name, number])
    threads = [threading.Thread(target=many, args=(f'thread{n}',)) for n in range(8)]
    for thread in threads: thread.start()
    many('main')
    for thread in threads: thread.join()

def leave_publisher(payload, producer):
    threading.Thread(target=producer, args=('late', payload)).start()

def leave_thread(payload):
    threading.Thread(target=threading.Event().wait).start()
    return os.getpid()

def signalled(payload, producer):
    for number in (signal.SIGINT, signal.SIGTERM): os.kill(os.getpid(), number)
    return os.getpid()

def end_program(payload):
    program = subprocess.Popen(['sleep', '1000'])
    program.terminate()
    return program.wait()

def fork_and_return(payload, producer):
    forked = os.fork()
    if forked: return os.waitpid(forked, 0)[1]
    producer('from a fork', {})

def fork_and_die(payload):
    # By C: Python is not told, so the copy keeps the pipe, and it leaves the process group.
    if not ctypes.PyDLL(None).fork():
        os.setsid()
        time.sleep(15)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)

def sockets(payload):
    links = []
    for fd in os.listdir('/proc/self/fd'):
        try: links.append(os.readlink(f'/proc/self/fd/{fd}'))
        except OSError: pass
    return sum(link.startswith('socket:') for link in links)

def sockets_of_program(payload):
    script = 'import json, jobs; print(json.dumps(jobs.sockets(None)))'
    folder = os.path.dirname(__file__)
    return int(subprocess.check_output([sys.executable, '-c', script], close_fds=False, cwd=folder))

def write_to_the_pipe(payload):
    for fd in range(3, 256):
        try: link = os.readlink(f'/proc/self/fd/{fd}')
        except OSError: continue
        if link.startswith('socket:'): os.write(fd, bytes(100))

def close_the_pipe(payload):
    for fd in range(3, 256):
        try: link = os.readlink(f'/proc/self/fd/{fd}')
        except OSError: continue
        if link.startswith('socket:'): os.close(fd)
    time.sleep(1000)

def stdin(payload): return sys.stdin.read()
"""


class Recorder(Entrypoint):
    """An entrypoint that keeps each message's outcome."""

    def __init__(self, target: str, replies: bool = True, **route: Any) -> None:
        super().__init__(Route(target, **route))
        self.replies = replies
        self.outcomes: list[Outcome] = []
        self.came = Event()

    def finished(self, message: Message, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.came.set()

    def wait_for(self, count: int) -> list[Outcome]:
        with gevent.Timeout(TIMEOUT_S):
            while len(self.outcomes) < count:
                self.came.wait()
                self.came.clear()
        return self.outcomes

    def results(self, count: int) -> list[Any]:
        return [json.loads(succeeded(outcome).result[0]) for outcome in self.wait_for(count)]


def succeeded(outcome: Outcome) -> Outcome:
    assert outcome.failure is None, outcome.failure
    assert outcome.ran
    return outcome


class Published:
    """Takes publications, and tells them."""

    def __init__(self) -> None:
        self.all: list[Publication] = []
        self.came = Event()
        self.errors: dict[str, Exception] = {}

    def __call__(self, publication: Publication) -> None:
        gevent.sleep(0)  # as a broker does
        if publication.routing_key in self.errors:
            raise self.errors[publication.routing_key]
        self.all.append(publication)
        self.came.set()

    def wait_for(self, count: int = 1) -> list[Any]:
        with gevent.Timeout(TIMEOUT_S):
            while len(self.all) < count:
                self.came.wait()
                self.came.clear()
        return [json.loads(publication.body) for publication in self.all]


def message(payload: Any = None) -> Message:
    return Message(json.dumps(payload).encode(), {'content_type': 'application/json'})


def own_children() -> list[int]:
    """The children that are a pool's, zombies included."""
    return [child.pid for child in psutil.Process().children() if is_of_a_pool(child)]


def is_of_a_pool(process: psutil.Process) -> bool:
    try:
        return any('greenmicro.child' in word for word in process.cmdline()) or is_our_zombie(process)
    except psutil.ZombieProcess:
        return is_our_zombie(process)
    except psutil.NoSuchProcess:
        return False


def is_our_zombie(process: psutil.Process) -> bool:
    """A zombie has no command line; but what else a test run keeps is in sessions of its own."""
    try:
        ours = os.getsid(process.pid) == os.getsid(0)
        return ours and process.status() == psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False


def is_gone(pid: int, timeout_s: float = TIMEOUT_S) -> bool:
    """Wait for the end of a process that is not our child; process 1 need not have reaped it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        gevent.sleep(0.005)
    return False
