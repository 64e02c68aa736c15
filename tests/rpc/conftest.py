"""A service that answers and one that calls, on a broker of either kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from gevent.event import AsyncResult

from greenmicro.entrypoints import Entrypoint
from greenmicro.routes import Route
from greenmicro.rpc.dependencies import RPCProxy
from greenmicro.runner import Runner
from tests.brokers.conftest import uri
from tests.fakes import tasks

__all__ = ['uri']

#: Runs a service until the end of the test.
Serve = Callable[..., Runner]
#: Runs a function in a worker, with a proxy of the service, and returns what it returns.
Ask = Callable[..., Any]


@pytest.fixture
def serve(uri: str) -> Iterator[Serve]:
    """Runs services on the broker."""
    with ExitStack() as stack:

        def run(*entrypoints: Entrypoint, name: str = 'shop', **config: Any) -> Runner:
            full = {'AMQP_URI': uri, 'SERVICE_NAME': name, 'STOP_TIMEOUT_S': 5, **config}
            return stack.enter_context(Runner(entrypoints, full))

        yield run


@pytest.fixture
def ask(serve: Serve) -> Iterator[Ask]:
    """A service named `asker`, in whose worker functions of the test run."""
    asked: list[tuple[Callable[[Any], Any], AsyncResult[Any]]] = []

    def run(payload: Any, shop: Any, nobody: Any) -> None:
        function, result = asked.pop()
        try:
            result.set(function(nobody if payload['nobody'] else shop))
        except Exception as error:
            result.set_exception(error)

    with tasks(run=run) as module:
        route = Route(
            f'{module}.run', dependencies={'shop': RPCProxy('shop'), 'nobody': RPCProxy('nobody', 2.0)}
        )
        entrypoint = Entrypoint(route)
        serve(entrypoint, name='asker')

        def ask_for(function: Callable[[Any], Any], nobody: bool = False) -> Any:
            result: AsyncResult[Any] = AsyncResult()
            asked.append((function, result))
            entrypoint.receive(entrypoint.message({'nobody': nobody}))
            return result.get(timeout=20)

        yield ask_for
