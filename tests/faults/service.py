"""What a row asks of the service under test, in words that any framework's adapter can write out."""

from dataclasses import dataclass

TASKS = """\
import os
import time

LEDGER = os.open({path!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note(kind, payload, attempt):
    # One write a line, to a file that only grows: what a killed process has noted stays noted.
    line = f'{{kind}} {{payload["id"]}} {{os.getpid()}} {{time.monotonic():.6f}} {{attempt}}\\n'
    os.write(LEDGER, line.encode())

{top}
"""

TARGET = """
def {name}(payload, attempt, send):
    note('S', payload, attempt)
{body}
    note('F', payload, attempt)
"""


@dataclass(frozen=True)
class Listener:
    """One event that the service listens to, and what its target does.

    Attributes:
        body: the target's lines between its two notes; `payload`, `attempt` and `send(event, payload)` are
            there, with `os` and `time`.
        event: the event's name, its routing key.
        target: the target's name.
        max_attempts: how often a message that fails is tried; None leaves it to the framework.
        delay_s: the wait before the first retry.
        timeout_s: how long one call may take; None for no limit.
    """

    body: str = 'time.sleep(0.002)'
    event: str = 'event'
    target: str = 'work'
    max_attempts: int | None = None
    delay_s: float = 0.1
    timeout_s: float | None = None


@dataclass(frozen=True)
class Service:
    """The service under test.

    Attributes:
        listeners: what it listens to.
        workers: how many messages it works on at a time.
        prefetch: how many it holds, per listener; None for the framework's own choice.
        heartbeat_s: the interval of its heartbeats.
        connect_timeout_s: how long one try to connect may take.
        confirm_timeout_s: how long one publish may take.
        grace_s: how long its targets may go on at a stop.
        max_crashes: at which death of its process a message is given up; None for the framework's choice.
        top: lines at the top of the tasks module.
    """

    listeners: tuple[Listener, ...] = (Listener(),)
    workers: int = 2
    prefetch: int | None = None
    heartbeat_s: int = 2
    connect_timeout_s: float = 1.0
    confirm_timeout_s: float = 5.0
    grace_s: float = 10.0
    max_crashes: int | None = None
    top: str = ''


def tasks_of(service: Service, ledger: str) -> str:
    """The source of the module with the service's targets, the same for every framework."""
    source = TASKS.format(path=ledger, top=service.top)
    for listener in service.listeners:
        body = '\n'.join(f'    {line}' for line in listener.body.splitlines())
        source += TARGET.format(name=listener.target, body=body)
    return source


def doing(
    body: str, *, max_attempts: int | None = None, timeout_s: float | None = None, **more: object
) -> Service:
    """A service with one listener whose target does this."""
    listener = Listener(body, max_attempts=max_attempts, timeout_s=timeout_s)
    return Service((listener,), **more)  # type: ignore[arg-type]
