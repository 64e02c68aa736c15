"""Outcomes: what targets are told of each of their publishes, noted by themselves to a file."""

import json
from pathlib import Path
from typing import NamedTuple

#: At the top of the tasks: `try_to(send, payload, event, **options)` publishes and notes what came of it.
TOP = """\
import json
OUTCOMES = os.open('../outcomes', os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def try_to(send, payload, event, body=None, **options):
    began = time.monotonic()
    try:
        send(event, {'id': payload['id'], **(body or {})}, **options)
    except Exception as error:
        told = type(error).__name__
    else:
        told = ''
    line = [payload['id'], event, told, time.monotonic() - began]
    os.write(OUTCOMES, (json.dumps(line) + '\\n').encode())
"""


class Outcome(NamedTuple):
    """How one publish ended.

    Attributes:
        id: of the message whose target published.
        event: what it published.
        told: the name of the error's class, '' for none.
        took_s: how long it took.
    """

    id: str
    event: str
    told: str
    took_s: float


def read(path: Path) -> list[Outcome]:
    """All outcomes so far."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Outcome(*json.loads(line)) for line in lines]
