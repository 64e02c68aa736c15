"""MessageTranslator: the base passes the payload through."""

from __future__ import annotations

from typing import Any

from greenmicro.translators import MessageTranslator


def test_the_base_translates_nothing() -> None:
    """What it is given it returns, the same object."""
    payload = {'id': 1}
    context: Any = None
    assert MessageTranslator().translate(payload, context) is payload
