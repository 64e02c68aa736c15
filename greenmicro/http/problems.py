"""What a failed request is answered: a status for each reason, and problem details (RFC 9457)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from greenmicro.http.signals import NAME
from greenmicro.http.values import Answer, to_json
from greenmicro.messages import Failure, Reason

PROBLEM = 'application/problem+json'
#: A time limit is 504 and a lost worker 502, as behind a gateway: the work may have been done.
STATUSES = {
    Reason.UNDECODABLE: 400,
    Reason.REFUSED: 415,
    Reason.REJECTED: 422,
    Reason.RETRY_LATER: 503,
    Reason.TIMEOUT: 504,
    Reason.WORKER_LOST: 502,
}
#: What the client may be told of a failure whose text is about what it has sent.
_TOLD = frozenset((Reason.UNDECODABLE, Reason.REFUSED, Reason.REJECTED))
_PAYLOAD_ERROR = 'greenmicro.errors.PayloadError'
#: When to come again, in seconds, where nothing is known.
RETRY_AFTER_S = 1


def problem(status: int, detail: str = '', headers: Iterable[tuple[str, str]] = (), **members: Any) -> Answer:
    """Build an answer of problem details.

    Args:
        status: 400 to 599.
        detail: What went wrong, for people.
        headers: More headers.
        members: More members of the problem.
    """
    told = {'detail': detail} if detail else {}
    content = to_json({'title': _title(status), 'status': status, **told, **members})
    return Answer(status, [('Content-Type', PROBLEM), *headers], content)


def unavailable(detail: str, delay_s: float = RETRY_AFTER_S) -> Answer:
    """Build the answer to a request that was not run, and may come again after some seconds."""
    return problem(503, detail, [('Retry-After', str(math.ceil(delay_s)))])


def status_of(failure: Failure) -> int:
    """Say with which status a failure is answered."""
    if failure.reason in (Reason.TARGET, Reason.TRANSLATOR, Reason.DEPENDENCY):
        if (own := _own(failure)) is not None:
            return own[0]
        # A translator that validates.
        return 422 if failure.reason == Reason.TRANSLATOR and _PAYLOAD_ERROR in failure.lineage else 500
    return STATUSES.get(failure.reason, 500)


def answer_to(failure: Failure) -> Answer:
    """Build the answer to a request that has failed.

    Of what a target raised the client sees nothing, unless it is an HTTPError or a Reject: the log has it.
    """
    status = status_of(failure)
    own = _own(failure) if failure.reason in (Reason.TARGET, Reason.TRANSLATOR, Reason.DEPENDENCY) else None
    if own is not None:
        _, detail, headers, members = own
        return problem(status, detail, headers, **members)
    if failure.reason == Reason.RETRY_LATER:
        return unavailable('', RETRY_AFTER_S if failure.delay_s is None else failure.delay_s)
    if failure.reason in _TOLD or status == 422:
        return problem(
            status, failure.error.removeprefix(f'{failure.lineage[0]}: ') if failure.lineage else ''
        )
    return problem(status)


def _own(failure: Failure) -> tuple[int, str, list[tuple[str, str]], dict[str, Any]] | None:
    """Read what an HTTPError said; None if it is none, or a subclass that lost what it was made of."""
    if NAME not in failure.lineage:
        return None
    try:
        status, detail, headers, members = json.loads(failure.arguments)
        if 400 <= status <= 599 and isinstance(detail, str) and isinstance(members, dict):
            members.pop('status', None)
            members.pop('detail', None)
            return status, detail, [(str(name), str(value)) for name, value in headers], members
    except (ValueError, TypeError):
        pass
    return None


def _title(status: int) -> str:
    from http import HTTPStatus  # 2 ms of a child's start, which needs none

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f'Status {status}'
