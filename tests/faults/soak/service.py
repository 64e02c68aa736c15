"""The soaked service: its target does what the rows' own targets do, whichever the message asks for."""

from tests.faults.outcomes import TOP as OUTCOMES
from tests.faults.rows.children import BROKEN_TOP, DYING, DYING_TOP, ENDLESS, MOST_DEATHS, OUT_OF_MEMORY
from tests.faults.rows.host import FAN_OUT
from tests.faults.rows.targets import BUSY, FORKING, NOISY, RAISING, RAISING_TOP, RESULTS
from tests.faults.rows.topology import IN_FLIGHT, UNROUTABLE
from tests.faults.service import Listener, Service

#: What the target does for a message of each row, before it publishes.
ACTS = {
    'usual': 'time.sleep(0.002)',
    'slow': "time.sleep(payload['sleep_s'])",
    'fails at first': "if attempt < 3:\n    raise ValueError('not yet')",
    'H2': FAN_OUT,
    'Q5': UNROUTABLE,
    'Q8': IN_FLIGHT,
    'T1': RAISING,
    'T2': RESULTS,
    'T3': DYING,
    'T5': OUT_OF_MEMORY,
    'T6': ENDLESS,
    'T7': BUSY,
    'T8': NOISY,
    'T13': FORKING,
}
#: Listeners beside the first, each with a queue of its own: with a time limit, with retries, with neither.
LIMITED, RETRIED, OTHER = 'limited', 'retried', 'other'
LIMIT_S = 1.0
MOST_ATTEMPTS = 4
BODY = """\
result = ACTS[payload.get('row', 'usual')](payload, attempt, send)
send('out', {'id': payload['id']})
note('F', payload, attempt)
return result
"""


def acts() -> str:
    """The source of what the target does, a function for each row and a table of them."""
    source, names = '', {}
    for number, (row, body) in enumerate(ACTS.items()):
        names[row] = f'act{number}'
        lines = ''.join(f'    {line}\n' for line in body.splitlines())
        source += f'\n\ndef act{number}(payload, attempt, send):\n{lines}'
    table = ', '.join(f'{row!r}: {name}' for row, name in names.items())
    return f'{source}\n\nACTS = {{{table}}}\n'


SERVICE = Service(
    (
        Listener(BODY),
        Listener(BODY, LIMITED, LIMITED, timeout_s=LIMIT_S),
        Listener(BODY, RETRIED, RETRIED, max_attempts=MOST_ATTEMPTS),
        Listener(BODY, OTHER, OTHER),
    ),
    workers=4,
    confirm_timeout_s=40.0,  # an alarm or a frozen broker may last longer than a publish waits otherwise
    max_crashes=MOST_DEATHS,
    top=BROKEN_TOP + OUTCOMES + RAISING_TOP + DYING_TOP + acts(),
)
