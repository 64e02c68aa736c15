"""Runner: starts a service and stops it. Importing it patches the process, except in a child."""

from __future__ import annotations

import signal
import sys

from greenmicro.child import in_child

if not in_child():
    # Before anything that opens sockets is imported, by us or by the user below this import.
    from greenmicro import patching

    patching.patch()

import gc
import logging
import os
import time
from collections.abc import Iterable, Mapping
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from greenmicro import __version__, logs
from greenmicro.entrypoints import Entrypoint
from greenmicro.errors import ConfigError, StopTimeoutError

if TYPE_CHECKING:
    from greenmicro.service import Service

logger = logging.getLogger(__name__)

GUARD = """Runner.start() was called in a child process, by importing the main module. Guard it:

    if __name__ == '__main__':
        Runner(entrypoints, config).start()
"""


class Runner:
    """Runs a service until it is told to stop.

    `start()` blocks until SIGTERM, SIGINT or `stop()`. With `with Runner(...)` the service runs in the
    background, for tests.

    Args:
        entrypoints: What the service reacts to.
        config: Upper-case keys and their values; the README has them all. Environment variables
            (`GREENMICRO_` and the key) go over it.

    Example:
        >>> if __name__ == '__main__':
        ...     Runner([EventListener('orders', 'placed', route=Route('tasks.ship'))], config).start()
    """

    def __init__(self, entrypoints: Iterable[Entrypoint], config: Mapping[str, Any]) -> None:
        self.entrypoints = entrypoints
        self.config = config
        self._service: Service | None = None
        self._starter: Any = None
        self._alone = False  # the process is the service's, as opposed to a test's
        self._began = 0.0

    def start(self) -> None:
        """Run the service; return when it has stopped, all work done or given back.

        Raises:
            ConfigError: The service is put together wrongly; all faults at once, nothing was started.
            BrokerError: The broker refuses us.
            StopTimeoutError: Work was still going on at the deadline of the stop.
            Exception: Whatever an entrypoint's own greenlet crashed with.

        Runs in: the main thread, whose signal handlers it takes over while it runs.
        """
        self._alone = True
        service = self._launch()
        previous = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            service.ended.wait()
            self._finish(service)
        finally:
            gc.unfreeze()
            for number, handler in previous.items():
                # None: a handler that was not set from Python, and cannot be
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def stop(self) -> None:
        """Have `start()` stop the service and return; from any greenlet or signal handler."""
        if self._service is not None:
            self._service.end()

    def __enter__(self) -> Runner:
        """Start in the background; return when every listener consumes.

        Raises:
            ConfigError: As `start()`.
            BrokerError: The broker refuses us.
        """
        service = self._launch()
        if not service.wait_ready():
            self._finish(service)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._service is not None:
            self._finish(self._service)

    def _launch(self) -> Service:
        """Check everything that can be checked, then start in a greenlet of its own."""
        if in_child():
            raise ConfigError(GUARD)
        if sys.platform == 'win32':
            raise ConfigError('greenmicro runs on Linux and macOS; on Windows, use WSL or a container')
        import gevent

        from greenmicro.checks import check, warnings
        from greenmicro.service import Service

        entrypoints, settings = check(self.entrypoints, self.config, os.environ, patching.faults())
        logs.set_up(settings)
        for warning in (*patching.warnings(), *warnings(entrypoints, settings)):
            logger.warning(warning)
        self._began = time.monotonic()
        service = self._service = Service(entrypoints, settings)
        self._starter = gevent.spawn(self._start, service)
        return service

    def _start(self, service: Service) -> None:
        try:
            service.start(self._announce)
        except Exception as error:
            service.fail(error)
            return
        if service.wait_ready():
            logger.info('ready after %.2f s', time.monotonic() - self._began)

    def _announce(self, service: Service) -> None:
        if self._alone:
            # What is imported and set up by now stays. A full collection would look through all of it, and
            # hold the hub up for as long [with 20 full queues 18 ms, without it 1; with 200 queues 44 and 3].
            gc.freeze()
        settings = service.settings
        lines = [
            f'greenmicro {__version__}: {settings.service_name}, pid {os.getpid()}',
            f'  broker   {settings.broker_name}',
            f'  workers  {settings.max_workers}, mode {settings.worker_mode.name}',
            *([f'  health   http://{settings.health_address}'] if settings.health_address else []),
            *(f'  on       {entrypoint.describe()}' for entrypoint in service.entrypoints),
        ]
        logger.info('\n'.join(lines))

    def _finish(self, service: Service) -> None:
        """Stop everything, then raise what ended the service, if an error did."""
        began = time.monotonic()
        error = service.ended.exception
        logger.info('stopping%s', f' because of {type(error).__name__}' if error else '')
        self._starter.kill()
        try:
            service.stop()
        except StopTimeoutError as late:
            raise late from error
        finally:
            self._service = None
            logger.info('stopped after %.2f s', time.monotonic() - began)
        if error is not None:
            raise error

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        service = self._service
        if service is None or service.ended.ready():
            # The second one: wait for nothing more. A third ends the process as if we were not there.
            if service is not None:
                service.cut_short()
            signal.signal(number, signal.SIG_DFL)
        else:
            self.stop()
