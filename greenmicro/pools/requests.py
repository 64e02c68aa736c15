"""Requests: what the targets of a child ask the service for, and the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import gevent

from greenmicro.dependencies import PendingReply
from greenmicro.messages import Call, Publication
from greenmicro.pipe import Kind, dumps, frame, loads_plain


class Lender(Protocol):
    """What is done for children."""

    def publish(self, publication: Publication) -> None:
        """Publish, and return when that is confirmed."""

    def begin_call(self, call: Call) -> PendingReply:
        """Call another service."""


def publish(lender: Lender, *fields: Any) -> bytes:
    """Publish; the answer is empty."""
    lender.publish(Publication(*fields))
    return b''


def call(lender: Lender, fields: tuple[Any, ...], timeout_s: float) -> bytes:
    """Call another service; the answer is its reply."""
    return dumps(tuple(lender.begin_call(Call(Publication(*fields), timeout_s)).wait()))


class Requests:
    """Answers each request in a greenlet of its own, as a target's threads may ask at the same time.

    Args:
        lender: Does what is asked for.
        write: Writes an answer.
    """

    def __init__(self, lender: Lender, write: Callable[[bytes], None]) -> None:
        self._lender = lender
        self._write = write

    def take(self, number: int, payload: bytes, act: Callable[..., bytes]) -> None:
        """Do what is asked for, and answer; returns at once."""
        gevent.spawn(self._answer, number, payload, act)

    def _answer(self, number: int, payload: bytes, act: Callable[..., bytes]) -> None:
        try:
            answer = act(self._lender, *loads_plain(payload))
        except Exception as error:
            answer = dumps((type(error).__name__, str(error)))
        self._write(frame(Kind.ANSWER, number, answer))
