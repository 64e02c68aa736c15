"""RetryLater and Reject: what a target raises to say itself what becomes of its message."""

from __future__ import annotations

from greenmicro.delays import delay_fault

# Exceptions and no BaseExceptions, unlike the time limit: the target raises them itself, where it chooses
# to, and its work is not done. What wraps the work (`except Exception: rollback(); raise`, a transaction's
# context manager) has to see a failure, or it would commit half of it.


class RetryLater(Exception):  # noqa: N818  # a signal; nothing went wrong
    """Have this message come again after a delay; it counts as a failed attempt.

    Raised by a target, a translator or a dependency. After the last attempt of the route's policy (of
    `Retry()` where the route has none) the message is dead-lettered.

    Args:
        delay_s: After how long, 0 to 86400 seconds; the broker rounds up (0.1, 0.2, 0.5, 1, 2, 5, 10 s, ...).

    Raises:
        ValueError: It is no such delay; raised here, where the traceback shows who asked for it.

    Example:
        >>> def fetch(payload):
        ...     answer = requests.get(payload['url'])
        ...     if answer.status_code == 429:
        ...         raise RetryLater(float(answer.headers['Retry-After']))
    """

    def __init__(self, delay_s: float) -> None:
        if fault := delay_fault('RetryLater: delay_s', delay_s):
            raise ValueError(fault)
        super().__init__(f'RetryLater({delay_s:g})')
        self.delay_s = float(delay_s)


class Reject(Exception):  # noqa: N818  # a signal
    """Have this message dead-lettered at once: it can never succeed.

    Raised by a target, a translator or a dependency.

    Args:
        reason: Why, for whoever looks at the dead letter.

    Example:
        >>> def ship(payload):
        ...     if payload['country'] not in SERVED:
        ...         raise Reject(f'we do not ship to {payload["country"]}')
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
