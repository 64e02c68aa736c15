"""Problem details: which status a failure gets, and what the client is told of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from greenmicro.errors import ContentRefusedError, PayloadError
from greenmicro.http.problems import answer_to, problem, status_of
from greenmicro.http.signals import HTTPError
from greenmicro.messages import Failure, Reason, arguments_json
from greenmicro.signals import Reject


def failure(reason: str, error: BaseException, **fields: Any) -> Failure:
    """A failure as a worker describes it."""
    return Failure.of(reason, error)._replace(arguments=arguments_json(error), **fields)


def test_a_problem_is_json_of_its_own_type() -> None:
    """With the phrase of its status, unless it has a title."""
    status, headers, body = problem(404, 'gone', [('A', 'b')], order=7)
    assert status == 404
    assert headers == [('Content-Type', 'application/problem+json'), ('A', 'b')]
    assert json.loads(body) == {'title': 'Not Found', 'status': 404, 'detail': 'gone', 'order': 7}
    assert json.loads(problem(499).body) == {'title': 'Status 499', 'status': 499}
    assert json.loads(problem(404, title='Mine').body)['title'] == 'Mine'


@pytest.mark.parametrize(
    ('reason', 'error', 'status', 'detail'),
    [
        (Reason.UNDECODABLE, PayloadError('at character 3'), 400, 'at character 3'),
        (Reason.REFUSED, ContentRefusedError('not pickle'), 415, 'not pickle'),
        (Reason.REJECTED, Reject('we do not ship there'), 422, 'we do not ship there'),
        (Reason.TRANSLATOR, PayloadError('wanted a town'), 422, 'wanted a town'),
        (Reason.TRANSLATOR, ValueError('secret'), 500, None),
        (Reason.DEPENDENCY, ValueError('secret'), 500, None),
        (Reason.TARGET, ValueError('secret'), 500, None),
        (Reason.TARGET, PayloadError('of a publish'), 500, None),
        (Reason.RESULT, PayloadError('secret'), 500, None),
        (Reason.ARGUMENTS, TypeError('secret'), 500, None),
        (Reason.TIMEOUT, ValueError('secret'), 504, None),
        (Reason.WORKER_LOST, ValueError('secret'), 502, None),
        ('a new reason', ValueError('secret'), 500, None),
    ],
)
def test_a_reason_is_a_status(reason: str, error: Exception, status: int, detail: str | None) -> None:
    """The client is told of what it has sent, and of nothing else."""
    found = failure(reason, error)
    if reason == Reason.REJECTED:
        found = found._replace(error=found.error.partition(': ')[2])  # as a worker does
    assert status_of(found) == status
    answer = answer_to(found)
    assert answer.status == status
    assert json.loads(answer.body).get('detail') == detail
    assert b'secret' not in answer.body


def test_who_is_to_come_later_is_told_when() -> None:
    """In whole seconds, rounded up."""
    answer = answer_to(failure(Reason.RETRY_LATER, ValueError(), delay_s=2.1))
    assert answer.status == 503
    assert ('Retry-After', '3') in answer.headers


class NotFoundError(HTTPError):
    """A user's own."""

    def __init__(self, what: str) -> None:
        super().__init__(404, f'there is no {what}', {'X-A': 'b'}, what=what, status_text=1)


@pytest.mark.parametrize('reason', [Reason.TARGET, Reason.TRANSLATOR, Reason.DEPENDENCY])
def test_an_http_error_is_its_own_answer(reason: str) -> None:
    """Wherever it was raised, and whatever it was made of."""
    answer = answer_to(failure(reason, NotFoundError('tea')))
    assert answer.status == status_of(failure(reason, NotFoundError('tea'))) == 404
    assert ('X-A', 'b') in answer.headers
    assert json.loads(answer.body) == {
        'title': 'Not Found',
        'status': 404,
        'detail': 'there is no tea',
        'what': 'tea',
        'status_text': 1,
    }


def test_one_that_timed_out_is_a_time_out() -> None:
    """Whatever was raised on the way."""
    assert status_of(failure(Reason.TIMEOUT, HTTPError(404))) == 504


@pytest.mark.parametrize('arguments', ['', '[]', '[404]', '[1, "", [], {}]', '["404", "", [], {}]', '{'])
def test_one_that_lost_what_it_was_made_of_is_an_error(arguments: str) -> None:
    """As a subclass that does not call its base."""
    lost = failure(Reason.TARGET, HTTPError(404))._replace(arguments=arguments)
    assert status_of(lost) == answer_to(lost).status == 500
