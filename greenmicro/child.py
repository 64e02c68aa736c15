"""A child process: it prepares its workers once, then runs one job after the other.

`greenmicro.runner` imports this before it patches, to ask `in_child()`; nothing starts on import.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from time import monotonic
from types import ModuleType
from typing import Any

from greenmicro import codecs, targets
from greenmicro.alarm import Alarm
from greenmicro.errors import ConfigError
from greenmicro.messages import SUCCEEDED, Failure, Message, Outcome, Reason
from greenmicro.pipe import Kind, Row, Setup, dumps, loads
from greenmicro.progress import How, Progress
from greenmicro.servicepipe import ServicePipe
from greenmicro.workers import Place, Worker

logger = logging.getLogger(__name__)

#: Process groups and cgroups get them; the parent tells its children by END.
IGNORED = (signal.SIGINT, signal.SIGTERM)
#: What main.py runs as in a child; `multiprocessing` uses the same name.
MAIN = '__mp_main__'
_PR_SET_PDEATHSIG = 1
MB = 1_000_000

_is_child = False
#: The main module that this process was started with, whose globals are still in use.
_first_main: ModuleType | None = None


def in_child() -> bool:
    """Say whether this process is a child of a service, by how it was started.

    Not by its environment: a target may start other programs that use greenmicro.
    """
    return _is_child


def main(fd: int, memory: int, parent: int) -> None:
    """Be a child of a service, until it says END.

    Args:
        fd: The descriptor of this end of the pipe.
        memory: The descriptor of the file for the Progress.
        parent: The parent's process id.
    """
    global _is_child
    _is_child = True
    os.set_inheritable(fd, False)
    _ignore_signals()
    _die_with(parent)
    if sys.stdout is not None:
        # Several processes share it: whole lines, and those at once, since a child may be killed.
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    pipe = ServicePipe(fd)
    progress = Progress()
    progress.share(memory)
    os.close(memory)
    alarm = Alarm(pipe, progress)
    for leave in (pipe.leave, progress.leave, _heed_signals, alarm.leave):
        os.register_at_fork(after_in_child=leave)
    setup = pipe.setup()
    try:
        workers = _prepare(setup, pipe, alarm)
    except ConfigError as error:
        pipe.write(Kind.FAILED, 0, dumps([*error.faults]))
        sys.exit(1)
    _ignore_signals()  # again: main.py or WORKER_SETUP may have set handlers of their own
    pipe.write(Kind.READY)
    _serve(pipe, progress, workers, setup.settings.max_memory_per_child_mb)
    for worker in workers:
        worker.release()


def _ignore(number: int, frame: Any) -> None:
    pass


def _ignore_signals() -> None:
    for number in IGNORED:
        # A handler and not SIG_IGN, which programs that a target starts would inherit: their terminate()
        # would do nothing.
        signal.signal(number, _ignore)
        signal.siginterrupt(number, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)  # blocked by the parent until here


def _heed_signals() -> None:
    """In a process that a target forked: be ended by signals again, as by Process.terminate()."""
    for number in IGNORED:
        if signal.getsignal(number) is _ignore:
            signal.signal(number, signal.SIG_DFL)


def _die_with(parent: int) -> None:
    """Be killed when the parent ends, even in the middle of a target; on Linux only."""
    if sys.platform == 'linux':
        try:
            import ctypes  # 2 ms of a child's start [M]

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        except (ImportError, AttributeError):
            pass  # the end of the pipe tells it between two jobs
    if os.getppid() != parent:
        os._exit(1)


def _prepare(setup: Setup, pipe: ServicePipe, alarm: Alarm) -> Sequence[Worker]:
    """Run main.py and WORKER_SETUP, then build all workers.

    Raises:
        ConfigError: With all that was found.
    """
    sys.path[:] = setup.path
    sys.argv[:] = setup.argv
    if setup.main is not None:
        with _blamed(f'running {setup.main[1]}'):
            _run_main(*setup.main)
    if setup.settings.log_format != 'text':
        from greenmicro import logs  # 3 ms of a child's start, for its modules

        logs.set_up(setup.settings)
    path = setup.settings.worker_setup
    if path is not None:
        with _blamed(f'WORKER_SETUP {path}'):
            targets.resolve(path)()
    with _blamed('reading the route table'):
        table: list[Row] = loads(setup.table)
    place = Place(setup.settings, pipe.publish, alarm.limit, pipe.begin_call)
    faults: list[str] = []
    workers = []
    for row in table:
        try:
            with _blamed(row.name):
                workers.append(_worker(row, place))
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(*faults)
    return workers


def _worker(row: Row, place: Place) -> Worker:
    arguments = None if row.entrypoint is None else row.entrypoint.arguments
    encode = codecs.encode if row.entrypoint is None else row.entrypoint.encode
    worker = row.route.worker_for(row.name, place, arguments, row.replies, encode)
    worker.prepare()
    return worker


@contextmanager
def _blamed(what: str) -> Iterator[None]:
    """Turn all that the user's code raises, SystemExit too, into faults that say where."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(*(f'{what}: {fault}' for fault in error.faults)) from error
    except BaseException as error:
        trace = traceback.format_exc()
        raise ConfigError(
            f'{what} failed in a worker process with {type(error).__name__}: {error}\n{trace}'
        ) from None


def _run_main(how: str, name: str) -> None:
    """Run the service's main module, so that its classes and its logging set-up hold here.

    Its `__name__` differs, so what stands under the `__main__` guard does not run.
    """
    global _first_main
    module = ModuleType(MAIN)
    if how == 'module':
        from importlib.util import find_spec

        spec = find_spec(name)
        if spec is None or spec.loader is None:
            raise ConfigError('there is no such module')
        module.__spec__, module.__package__, module.__file__ = spec, spec.parent, spec.origin
        code = spec.loader.get_code(name)  # type: ignore[attr-defined]  # as runpy does
    else:
        module.__file__ = name
        with open(name, 'rb') as file:  # noqa: PTH123 - without pathlib, which the child can do without
            code = compile(file.read(), name, 'exec')
    _first_main = sys.modules['__main__']
    # Before it runs: dataclasses look their module up. Pickles name its classes by `__main__`.
    sys.modules['__main__'] = sys.modules[MAIN] = module
    exec(code, module.__dict__)  # noqa: S102 - the service's own program


def _serve(pipe: ServicePipe, progress: Progress, workers: Sequence[Worker], most_mb: int | None) -> None:
    """Run the jobs.

    What succeeds is only marked, and told in one frame when no more jobs are here: where jobs are short they
    come in batches, and a frame costs more than such a job.
    """
    if most_mb is not None:
        from greenmicro.resident import exceeds
    is_large = False
    untold = 0
    while True:
        if untold and not pipe.has_job():
            pipe.write(Kind.DONE, untold)
            untold = 0
        job = pipe.next_job()
        if job is None:
            return
        _, number, payload = job
        if is_large or not progress.start(number):
            progress.finish(number, How.UNRUN)
            untold = number
            continue
        began = monotonic()
        outcome = _run(workers, payload)
        took_s = monotonic() - began
        packed = b'' if outcome is SUCCEEDED else _packed(outcome)
        del job, payload, outcome  # not kept while waiting: a body may be large
        # Before the frames, which have the service look.
        progress.finish(number, How.TOLD if packed else How.SUCCEEDED, took_s)
        untold = number
        if most_mb is not None and exceeds(most_mb * MB):
            is_large = True
            pipe.write(Kind.LARGE, number)
        if packed:
            pipe.write(Kind.DONE, number, packed)
            untold = 0


def _run(workers: Sequence[Worker], payload: bytes) -> Outcome:
    try:
        route, fields = loads(payload)
        message = Message(*fields)
    except Exception as error:
        return Outcome.failed(Failure.of(Reason.UNREADABLE, error))
    try:
        worker = workers[route]
        outcome = Context().run(worker.run, message)
        if not isinstance(outcome, Outcome):
            raise TypeError(f'{type(worker).__name__}.run: wanted an Outcome, found {outcome!r}')
    except BaseException as error:
        # Only a Worker subclass gets here.
        return Outcome.failed(Failure.of(Reason.TARGET, error))
    return outcome


def _packed(outcome: Outcome) -> bytes:
    """Pickle an outcome as plain values; what a Worker subclass made may not pickle."""
    try:
        failure = None if outcome.failure is None else _as_named_by_users(outcome.failure)
        return dumps((outcome.ran, failure, outcome.result))
    except Exception as error:
        return _packed(Outcome.failed(Failure.of(Reason.RESULT, error)))


def _as_named_by_users(failure: Failure) -> tuple[Any, ...]:
    """Name errors that main.py defines as in thread modes, since routes decide by these names."""
    named = failure._replace(error=_plain(failure.error), lineage=tuple(map(_plain, failure.lineage)))
    return tuple(named)


def _plain(name: str) -> str:
    return name.replace(f'{MAIN}.', '__main__.', 1) if name.startswith(MAIN) else name
