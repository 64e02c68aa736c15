"""Tries: what is sent again, how often, and what the publisher is told in the end."""

import time

import pytest
from amqp.exceptions import NotFound, PreconditionFailed, RecoverableConnectionError

from greenmicro.brokers.rabbitmq.confirms import LostError, NackedError
from greenmicro.brokers.rabbitmq.tries import NACK_TRIES, send_until_taken
from greenmicro.brokers.rabbitmq.window import WINDOW, Window
from greenmicro.errors import (
    BlockedError,
    PublishError,
    RefusedError,
    StoppingError,
    UnavailableError,
    UnconfirmedError,
    UnroutableError,
)

GONE = LostError(RecoverableConnectionError('reset'), count=5)
WITH_OTHERS = LostError(PreconditionFailed('too large'), count=5)
BY_ITSELF = LostError(PreconditionFailed('too large'), count=1)
NO_EXCHANGE = LostError(NotFound('no exchange'), count=1)
NACKED = NackedError('full')


class Sends:
    """Answers each send as it was told, and notes in how large a group it was to fly."""

    def __init__(self, *answers: Exception | None) -> None:
        self.window = Window()
        self.groups: list[int] = []
        self._answers = iter(answers)

    def __call__(self, group: int) -> None:
        assert self.window.most == (group or WINDOW)
        self.groups.append(group)
        answer = next(self._answers)
        if answer is not None:
            raise answer


def outcome(sends: Sends, limit_s: float = 10.0) -> type[PublishError] | None:
    """How it ended; each answer was asked for."""
    try:
        send_until_taken(sends, sends.window, time.monotonic() + limit_s)
    except PublishError as error:
        return type(error)
    finally:
        assert next(sends._answers, 'none') == 'none'
        assert sends.window.most == WINDOW
    return None


@pytest.mark.parametrize(
    ('answers', 'wanted'),
    [
        ([None], None),
        ([UnroutableError('nobody')], UnroutableError),
        ([UnconfirmedError('late')], UnconfirmedError),
        ([BlockedError('alarm')], BlockedError),
        ([GONE, None], None),
        ([GONE, GONE], UnconfirmedError),
        ([GONE, UnroutableError('nobody')], UnroutableError),
        ([GONE, UnavailableError('away')], UnconfirmedError),
        ([GONE, BlockedError('alarm')], UnconfirmedError),
        ([GONE, StoppingError('stop')], UnconfirmedError),
        ([BY_ITSELF], RefusedError),
        ([NO_EXCHANGE, None], None),
        ([NO_EXCHANGE, NO_EXCHANGE], RefusedError),
    ],
)
def test_what_is_sent_again(answers: list[Exception | None], wanted: type[PublishError] | None) -> None:
    """Once more after a lost connection, and after a missing exchange; then it is told the truth."""
    assert outcome(Sends(*answers)) is wanted


@pytest.mark.parametrize(
    ('answers', 'wanted'),
    [
        ([WITH_OTHERS, None], None),
        ([WITH_OTHERS, BY_ITSELF], RefusedError),
        ([WITH_OTHERS, NO_EXCHANGE], RefusedError),
        ([WITH_OTHERS, WITH_OTHERS, None], None),
        ([WITH_OTHERS, GONE, None], None),
        ([GONE, WITH_OTHERS, None], None),
        ([GONE, WITH_OTHERS, GONE], UnconfirmedError),
    ],
)
def test_who_was_with_the_one_that_closed_the_channel(
    answers: list[Exception | None], wanted: type[PublishError] | None
) -> None:
    """It is sent again alone, and a connection that was lost besides does not count against it."""
    sends = Sends(*answers)
    assert outcome(sends) is wanted
    first = answers.index(WITH_OTHERS)
    assert sends.groups == [0] * (first + 1) + [1] * (len(answers) - first - 1)


def test_of_many_each_flies_in_a_smaller_group_first() -> None:
    """Then alone, if its group met the same end."""
    many = LostError(PreconditionFailed('too large'), count=10_000)
    group = LostError(PreconditionFailed('too large'), count=100)
    sends = Sends(many, group, BY_ITSELF)
    assert outcome(sends) is RefusedError
    assert sends.groups == [0, 100, 1]
    assert outcome(sends := Sends(many, None)) is None
    assert sends.groups == [0, 100]


def test_what_the_broker_does_not_take_is_tried_a_few_times() -> None:
    assert outcome(Sends(NACKED, NACKED, None)) is None
    assert outcome(Sends(*[NACKED] * NACK_TRIES, None)) is None
    assert outcome(Sends(*[NACKED] * (NACK_TRIES + 1))) is RefusedError
    assert outcome(Sends(NACKED, GONE, NACKED, None)) is None
    assert outcome(Sends(NACKED, UnroutableError('deleted'))) is UnroutableError


def test_no_delay_beyond_the_deadline() -> None:
    """It is told at once that there is no time for another try."""
    assert outcome(Sends(NACKED), limit_s=0.0) is RefusedError
