"""The log lines of messages that failed: what became of each, and why."""

from __future__ import annotations

import logging

from greenmicro.delays import step_ms
from greenmicro.messages import Failure, Message

logger = logging.getLogger('greenmicro.entrypoints')


def log_retry(entrypoint: str, message: Message, failure: Failure, delay_s: float) -> None:
    """Tell of a message that is tried again after so many seconds."""
    # Without the traceback, which the last attempt logs: a storm of retries must not flood the log.
    logger.warning(
        '%s: %r failed (%s), attempt %d, again in %g s: %s',
        entrypoint,
        message,
        failure.reason,
        message.attempt,
        step_ms(delay_s) / 1000,
        failure.error,
    )


def log_failure(entrypoint: str, message: Message, failure: Failure, fate: str) -> None:
    """Tell of a message that failed for good, and what becomes of it."""
    logger.error(
        '%s: %r failed (%s), attempt %d, %s: %s\n%s',
        entrypoint,
        message,
        failure.reason,
        message.attempt,
        fate,
        failure.error,
        failure.traceback,
    )


def log_refusal(entrypoint: str, message: Message, failure: Failure, fate: str) -> None:
    """Tell of a message that its sender got wrong: in one line, since who asks for it gets many."""
    logger.info('%s: %r failed (%s), %s: %s', entrypoint, message, failure.reason, fate, failure.error)
