"""The demo: what a newcomer sees first."""

import re
import signal
from contextlib import ExitStack

import pytest

from tests.examples import EXAMPLES
from tests.support.program import Program

FOLDER = EXAMPLES / 'quickstart'
SUMMARY = re.compile(r'published +(\d+)\n.*handled +(\d+) .*\n.*failed +(\d+)')
DEAD_QUEUE = 'evt-shop-order_placed--shop.ship_order.dead'


def orders(what, output):
    """The numbers of all orders of which something is said, in the order of their numbers."""
    return sorted(int(number) for number in re.findall(rf'^order (\d+) +{what}', output, re.MULTILINE))


def check_books(output):
    """Assert that the summary agrees with the lines above it; return how many failed."""
    placed, shipped = orders('placed', output), orders('shipped', output)
    failing, told = orders('FAILS', output), orders('its customer', output)
    assert len(placed) == 20
    assert sorted(shipped + failing) == placed
    assert told == shipped
    assert output.count('LookupError: nobody knows the way to Atlantis\nTraceback') == len(failing) > 0
    published, handled, failed = map(int, SUMMARY.search(output).groups())
    assert (published, handled, failed) == (20 + len(shipped), 2 * len(shipped), len(failing))
    return failed


MODES = ('thread', 'greedy_process')


@pytest.fixture(scope='module')
def demos():
    """The demo in two modes at the same time, since it takes its time."""
    with ExitStack() as stack:
        yield {
            mode: stack.enter_context(Program(FOLDER, environment={'GREENMICRO_WORKER_MODE': mode}))
            for mode in MODES
        }


@pytest.mark.parametrize('mode', MODES)
def test_it_needs_no_broker_and_ends_by_itself(mode, demos):
    """On memory://, all orders are handled, the failed ones counted, in the service's process or not."""
    program = demos[mode]
    assert program.wait() == 0
    check_books(program.output)
    assert 'broker   memory://' in program.output
    assert program.survivors() == []


def test_on_rabbitmq(amqp_uri, amqp_client, rabbitmq, vhost):
    """The environment names the broker; nothing stays in its queues but the dead letters."""
    with Program(FOLDER, environment={'GREENMICRO_AMQP_URI': amqp_uri}) as program:
        assert program.wait() == 0
        failed = check_books(program.output)
    left = {name: (counts.ready, counts.unacked) for name, counts in rabbitmq.queues(vhost).items()}
    assert left == {
        'evt-shop-order_placed--shop.ship_order': (0, 0),
        'evt-shop-order_shipped--shop.tell_customer': (0, 0),
        DEAD_QUEUE: (failed, 0),
    }
    dead = amqp_client.get(DEAD_QUEUE)
    assert dead.payload['town'] == 'Atlantis'
    assert dead.headers['greenmicro.error'] == 'LookupError: nobody knows the way to Atlantis'


def test_ctrl_c_ends_it_earlier():
    """What runs is finished, and the summary comes all the same."""
    with Program(FOLDER) as program:
        program.wait_for(re.compile(r'order 2 +placed'))
        program.signal(signal.SIGINT)
        assert program.wait() == 0
        assert int(SUMMARY.search(program.output)[1]) < 38
        assert len(orders('placed', program.output)) < 20
