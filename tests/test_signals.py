"""RetryLater and Reject: what a target says of its message by raising them."""

from __future__ import annotations

from typing import Any

import pytest

from greenmicro import Reject, RetryLater


def test_a_retry_says_when() -> None:
    """In words as well, for the log."""
    signal = RetryLater(90)
    assert (signal.delay_s, str(signal)) == (90.0, 'RetryLater(90)')


@pytest.mark.parametrize('delay_s', [-1, 86_401, float('nan'), '5', None, True])
def test_what_is_no_delay_is_refused_where_it_is_raised(delay_s: Any) -> None:
    """The target then fails of that, and its traceback shows the line."""
    with pytest.raises(ValueError, match='RetryLater: delay_s: wanted 0 to 86400 seconds, found '):
        RetryLater(delay_s)


def test_a_reject_says_why() -> None:
    """In the user's words."""
    assert str(Reject('no such customer')) == 'no such customer'


@pytest.mark.parametrize('signal', [RetryLater, Reject])
def test_what_wraps_the_work_sees_a_failure(signal: type[BaseException]) -> None:
    """A rollback under `except Exception` has to happen, or half of the work is committed."""
    assert issubclass(signal, Exception)
