"""The values that travel: what is believed of a header, and how any exception becomes text."""

from __future__ import annotations

from typing import Any

import pytest

from greenmicro.messages import (
    ATTEMPT_HEADER,
    CRASHES_HEADER,
    EMPTY,
    MESSAGE_LIMIT,
    MOST_ATTEMPTS,
    TRACEBACK_LIMIT,
    Failure,
    Message,
    Outcome,
    Publication,
)


def caught(error: BaseException) -> BaseException:
    """The exception as it is after it was raised, with a traceback."""
    try:
        raise error
    except BaseException as raised:
        return raised


def failure(error: BaseException) -> Failure:
    return Failure.of('target error', caught(error))


def test_the_first_attempt_is_1() -> None:
    """A message without our header is in its first attempt."""
    assert Message(b'').attempt == 1


@pytest.mark.parametrize(('made', 'attempt'), [(0, 1), (1, 2), (7, 8), (MOST_ATTEMPTS - 1, MOST_ATTEMPTS)])
def test_the_header_counts_the_attempts_before(made: int, attempt: int) -> None:
    """The running attempt is one more than the header says."""
    assert Message(b'', headers={ATTEMPT_HEADER: made}).attempt == attempt


@pytest.mark.parametrize(
    'forged', [-1, -(2**63), MOST_ATTEMPTS, 2**63, '3', True, 2.0, float('nan'), None, b'1', [2], {'a': 1}]
)
def test_a_forged_count_is_none(forged: Any) -> None:
    """Anyone can write the header: negative, huge, text, truth and the like count as zero."""
    assert Message(b'', headers={ATTEMPT_HEADER: forged}).attempt == 1


def test_the_message_id_is_the_senders() -> None:
    """It comes from the properties, and may be missing."""
    assert Message(b'', {'message_id': 'm-1'}).message_id == 'm-1'
    assert Message(b'').message_id is None


def test_a_message_shows_nothing_of_its_body_and_headers() -> None:
    """A log line names id, queue, routing key and size, and no content."""
    shown = repr(Message(b'secret', {'message_id': 'm-1'}, {'token': 'secret'}, 'x', 'order.placed', 'q'))
    assert shown == "<Message 'm-1' from q, routing key 'order.placed', 6 bytes>"
    assert repr(Message(b'')) == '<Message without id, 0 bytes>'


def test_a_peer_cannot_forge_a_log_line() -> None:
    """Line breaks in what the sender chose are shown as escapes."""
    forged = Message(b'', {'message_id': 'm\nERROR root: all is lost'}, {}, 'x', 'k\r\nERROR', 'q')
    assert '\n' not in repr(forged)
    assert '\r' not in repr(forged)


def test_a_publication_shows_nothing_of_its_body() -> None:
    """Its repr names where it goes and its size."""
    shown = repr(Publication('shop.events', 'placed', b'secret', headers={'token': 'secret'}))
    assert shown == "<Publication to 'shop.events' with 'placed', 6 bytes>"


def test_messages_without_headers_share_one_empty_dict() -> None:
    """A dict for each message would be built for nothing."""
    assert Message(b'').headers is Message(b'').properties is EMPTY
    assert not EMPTY


def test_a_failure_names_class_and_message() -> None:
    """The class with its module, the message, the bases, and the traceback."""
    found = failure(KeyError('size'))
    assert found.reason == 'target error'
    assert found.error == "KeyError: 'size'"
    assert found.lineage == (
        'builtins.KeyError',
        'builtins.LookupError',
        'builtins.Exception',
        'builtins.BaseException',
    )
    assert found.traceback.startswith('Traceback (most recent call last)')
    assert found.traceback.endswith("KeyError: 'size'\n")


def test_a_failure_tells_the_cause_too() -> None:
    """An exception that was raised from another one shows both."""
    error = ValueError('outer')
    error.__cause__ = caught(OSError('inner'))
    assert 'OSError: inner' in failure(error).traceback


@pytest.mark.parametrize('raised', [ValueError('x'), SystemExit(3), KeyboardInterrupt(), RecursionError()])
def test_an_exception_whose_text_cannot_be_made_is_described(raised: BaseException) -> None:
    """Whatever its `__str__` raises, a SystemExit too, stays inside."""

    class SilentError(Exception):
        def __str__(self) -> str:
            raise raised

    found = failure(SilentError())
    assert found.error.endswith(f'<not printable: {type(raised).__name__} while describing it>')
    assert 'SilentError' in found.traceback or 'not printable' in found.traceback


def test_an_exception_whose_text_is_no_text_is_described() -> None:
    """A `__str__` that returns a number is a TypeError, which is told."""

    class NumberError(Exception):
        def __str__(self) -> str:
            return 3  # type: ignore[return-value]

    assert 'not printable: TypeError' in failure(NumberError()).error


def test_arguments_that_do_not_pickle_do_no_harm() -> None:
    """An exception becomes text at once; its arguments travel nowhere."""
    found = failure(ValueError(lambda: None))
    assert found.error.startswith('ValueError: <function')


def test_long_messages_and_tracebacks_are_cut() -> None:
    """200 kB of headers would end the connection; beginning and end of the traceback stay."""
    found = failure(ValueError('x' * 1_000_000))
    assert len(found.error) <= MESSAGE_LIMIT + 100
    assert len(found.traceback) <= TRACEBACK_LIMIT + 100
    assert found.traceback.startswith('Traceback')
    assert 'characters left out' in found.traceback
    assert found.traceback.endswith('xxx\n')


def test_a_deep_recursion_is_described() -> None:
    """A thousand frames become a short traceback."""

    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as raised:
        deeper()
    assert 'Previous line repeated' in Failure.of('target error', raised.value).traceback


def test_lone_surrogates_become_escapes() -> None:
    """The texts end in AMQP headers, which are UTF-8."""
    found = failure(ValueError('a\udc80b'))
    assert found.error == 'ValueError: a\\udc80b'
    found.traceback.encode()


@pytest.mark.parametrize('kind', [BaseException, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_is_no_exception_is_described_alike(kind: type[BaseException]) -> None:
    """SystemExit and its like fail a message as any error does."""
    assert failure(kind('gone')).error == f'{kind.__name__}: gone'


@pytest.mark.parametrize(('header', 'crashes'), [(0, 0), (2, 2), (True, 0), (-1, 0), ('2', 0), (10**9, 0)])
def test_the_header_counts_the_crashes_before(header: object, crashes: int) -> None:
    """As with attempts, what is no sensible count is none."""
    assert Message(b'', headers={CRASHES_HEADER: header}).crashes == crashes


def test_a_failed_outcome_counts_as_an_attempt() -> None:
    """`Outcome.failed` has run."""
    found = failure(ValueError())
    assert Outcome.failed(found) == (True, found, None)
