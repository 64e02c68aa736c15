"""Limit: what a call becomes that was interrupted, and one that was not."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from greenmicro.errors import TargetTimeoutError
from tests.fakes import OwnLimit


def test_a_call_that_was_not_interrupted_is_left_alone() -> None:
    """What it raises is its own, and so is a TargetTimeoutError that it made itself."""
    with OwnLimit(1.0):
        pass
    for error in (ValueError(), TargetTimeoutError()):
        with pytest.raises(type(error)) as caught, OwnLimit(1.0):
            raise error
        assert caught.value is error


def within(limit: OwnLimit, call: Callable[[], None]) -> BaseException | None:
    """What comes out of a call with a limit."""
    try:
        with limit:
            call()
    except BaseException as error:
        return error
    return None


def test_an_interrupted_call_has_timed_out_with_a_text_that_names_the_limit() -> None:
    """The error arrives as it was raised."""
    limit = OwnLimit(0.25)

    def target() -> None:
        raise limit.expire()

    error = within(limit, target)
    assert error is limit.error
    assert type(error) is TargetTimeoutError
    assert str(error) == 'the target ran longer than its limit of 0.25 s'


@pytest.mark.parametrize('makes', [None, ValueError('other'), SystemExit(0)])
def test_a_call_that_swallows_it_has_timed_out_all_the_same(makes: BaseException | None) -> None:
    """And the traceback still shows where it was."""
    limit = OwnLimit(1.0)

    def where_it_was() -> None:
        raise limit.expire()

    def target() -> None:
        try:
            where_it_was()
        except TargetTimeoutError:
            if makes is not None:
                raise makes from None

    error = within(limit, target)
    assert error is not None
    assert error is limit.error
    assert 'where_it_was' in ''.join(traceback.format_exception(error))


def test_what_goes_before_a_time_out_passes() -> None:
    """Such as a kill."""

    class Kill(BaseException):
        pass

    class Passing(OwnLimit):
        passing = (Kill,)

    limit = Passing(1.0)

    def target() -> None:
        limit.expire()
        raise Kill

    assert type(within(limit, target)) is Kill
