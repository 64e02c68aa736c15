"""Calls in every mode: a service that answers and calls, and what breaks in between."""

import json
import re
import signal
from pathlib import Path

import pytest

from greenmicro.errors import RemoteError
from greenmicro.standalone import Client
from tests.acceptance.conftest import Write
from tests.support.program import Program

ENTRYPOINTS = """[
    RPCListener(Route('tasks.add')),
    RPCListener(Route('tasks.fail')),
    RPCListener(Route('tasks.die')),
    RPCListener(Route('tasks.total', dependencies={'me': RPCProxy('service'), 'nobody': RPCProxy('nobody')})),
    RPCListener(Route('tasks.slow', timeout_s=0.5)),
]"""
IMPORTS = """\
from greenmicro.rpc.entrypoints import RPCListener
from greenmicro.rpc.dependencies import RPCProxy
"""
TASKS = """\
import os, time
from concurrent.futures import ThreadPoolExecutor
from greenmicro.errors import RPCError

def add(x, y=1):
    return x + y

def fail():
    raise ValueError('as told', 7)

def die():
    os._exit(3)

def slow():
    time.sleep(60)

def told(call):
    try:
        return call()
    except RPCError as error:
        return type(error).__name__

def total(numbers, me, nobody):
    calls = [me.add.call_async(number, 0) for number in numbers]
    with ThreadPoolExecutor(4) as pool:
        more = list(pool.map(lambda number: me.add(number, 0), numbers[:8]))
    errors = [told(me.fail), told(me.nothing), told(me.add), told(nobody.add)]
    return sum(call.result() for call in calls), more, errors
"""
SERVICE = {'tasks': TASKS, 'entrypoints': ENTRYPOINTS, 'imports': IMPORTS}


def test_calls_work_in_every_mode(mode: str, write: Write, amqp_uri: str) -> None:
    """In targets, in their threads, and from outside; what fails tells the same everywhere."""
    with (
        write(amqp_uri, mode, **SERVICE, MAX_WORKERS=4) as program,
        Client({'AMQP_URI': amqp_uri}) as client,
    ):
        program.wait_for('ready')
        service = client['service']
        numbers = list(range(200))
        total, more, errors = service.total(numbers)
        assert total == sum(numbers)
        assert more == numbers[:8]
        assert errors == ['RemoteError', 'UnknownMethodError', 'BadCallError', 'UnknownServiceError']
        with pytest.raises(RemoteError, match='ValueError') as caught:
            service.fail()
        assert caught.value.exc_args == ('as told', 7)
        assert 'in fail' in caught.value.remote_traceback
        with pytest.raises(RemoteError, match='TargetTimeoutError'):
            service.slow()
        assert program.stop() == 0


def test_a_call_that_kills_its_worker_is_told(write: Write, amqp_uri: str) -> None:
    """The caller does not wait for a time-out, and the next call is answered."""
    with (
        write(amqp_uri, 'process', **SERVICE, MAX_CRASHES=1) as program,
        Client({'AMQP_URI': amqp_uri}) as client,
    ):
        program.wait_for('ready')
        with pytest.raises(RemoteError, match='worker lost'):
            client['service'].die()
        assert client['service'].add(1) == 2
        assert program.stop() == 0


ASKER = """\
import json, logging, sys
from greenmicro.runner import Runner
from greenmicro.routes import Route
from greenmicro.entrypoints import TimeEntrypoint
from greenmicro.rpc.dependencies import RPCProxy
config = {config!r}
logging.basicConfig(level=logging.INFO, format='%(message)s')
if __name__ == '__main__':
    route = Route('asking.ask', dependencies={{'service': RPCProxy('service', 20.0)}})
    Runner([TimeEntrypoint(3600, route, eager=True)], config).start()
"""
ASKING = """\
import json
from greenmicro.errors import RPCError
def ask(payload, service):
    calls = [service.add.call_async(number, 0) for number in range(1000)]
    print('asked', flush=True)
    ends = {}
    for number, call in enumerate(calls):
        try:
            end = 'own' if call.result() == number else 'foreign'
        except RPCError as error:
            end = type(error).__name__
        ends[end] = ends.get(end, 0) + 1
    print('ends ' + json.dumps(ends), flush=True)
"""


@pytest.mark.parametrize('place', ['thread', 'process'])
def test_a_thousand_calls_end_though_the_service_is_killed_and_restarted(
    place: str, tmp_path: Path, write: Write, amqp_uri: str
) -> None:
    """Each with its own reply; requests wait in the queue, and replies find their caller."""
    slower = TASKS.replace('return x + y', 'time.sleep(0.001); return x + y')
    service = write(amqp_uri, place, **{**SERVICE, 'tasks': slower})
    asker = tmp_path / 'asker'
    asker.mkdir()
    config = {'AMQP_URI': amqp_uri, 'SERVICE_NAME': 'asker', 'WORKER_MODE': place, 'MAX_WORKERS': 1}
    (asker / 'main.py').write_text(ASKER.format(config=config))
    (asker / 'asking.py').write_text(ASKING)
    with service:
        service.wait_for('ready')
        with Program(asker) as program:
            program.wait_for('asked')
            service.signal(signal.SIGKILL)
            service.wait()
            with Program(service.folder) as again:
                ends = json.loads(program.wait_for(re.compile(r'ends (\{.*\})'))[1])
                assert ends == {'own': 1000}
                assert program.stop() == 0
                assert again.stop() == 0
