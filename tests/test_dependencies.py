"""Dependency and WorkerContext: what the bases do, and what a context knows."""

from __future__ import annotations

from typing import Any

import pytest

from greenmicro.dependencies import Context, Dependency, WorkerContext
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


def test_a_context_knows_the_calls_that_led_to_it() -> None:
    """It adds its own id, which stays the same, and what is set in its headers goes on."""
    message = fakes.message({}, headers={'nameko.call_id_stack': ['web.get.1'], 'nameko.language': 'de'})
    context = WorkerContext(message, 'the entrypoint', fakes.settings(), [].append, method='work')
    assert context.service == 'shop'
    assert context.call_id.startswith('shop.work.')
    assert context.call_id_stack == ['web.get.1', context.call_id]
    assert context.headers == {'language': 'de'}
    context.headers['tenant'] = 7
    assert context.outgoing({'own': 1}) == {
        'nameko.call_id_stack': context.call_id_stack,
        'nameko.language': 'de',
        'nameko.tenant': 7,
        'own': 1,
    }
    assert context.deadline is None


def test_a_target_may_have_the_context_itself() -> None:
    """As a dependency."""
    context = WorkerContext(fakes.message(), 'the entrypoint', fakes.settings(), [].append)
    assert next(Context().provide(context)) is context


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
