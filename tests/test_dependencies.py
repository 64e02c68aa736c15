"""Dependency and WorkerContext: what the bases do, and what a context knows."""

from __future__ import annotations

from typing import Any

import pytest

from greenmicro.dependencies import Dependency, WorkerContext
from greenmicro.messages import ATTEMPT_HEADER
from tests import fakes


def test_a_context_knows_the_message_and_the_place() -> None:
    """Message, attempt, entrypoint, settings and the way out."""
    message = fakes.message({}, headers={ATTEMPT_HEADER: 2}, queue='q')
    sent: list[Any] = []
    context = WorkerContext(message, 'the entrypoint', fakes.settings(), sent.append)
    assert context.message is message
    assert context.attempt == 3
    assert context.settings.service_name == 'shop'
    assert context.entrypoint == 'the entrypoint'
    assert repr(context) == f'<WorkerContext of {message!r} at the entrypoint>'
    with pytest.raises(AttributeError):
        context.session = 1  # type: ignore[attr-defined]


def test_the_base_sets_up_and_tears_down_nothing() -> None:
    """Both hooks may be left out."""
    dependency = Dependency()
    dependency.setup_worker()
    dependency.teardown_worker()


def test_the_base_says_that_provide_is_missing() -> None:
    """It is a generator function, whose first step names the class."""
    context: Any = None
    with pytest.raises(NotImplementedError, match=r'Dependency has no provide\(\)'):
        next(iter(Dependency().provide(context)))
