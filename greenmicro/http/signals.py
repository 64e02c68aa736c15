"""HTTPError: what a target raises to choose the answer to a request that has failed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from greenmicro.errors import PayloadError
from greenmicro.http.values import plain_headers, to_json
from greenmicro.messages import ARGUMENT_LIMIT, EMPTY


class HTTPError(Exception):
    """Answer the request with this status, and the rest as problem details (RFC 9457).

    Raised by a target, a translator or a dependency. Dependencies see it as a failure, so a transaction is
    rolled back. One of 500 and more is logged as an error, others in one line. In other entrypoints it is an
    error like any other.

    Args:
        status: 400 to 599.
        detail: What went wrong this time, for people; of more than 1000 characters the beginning.
        headers: Headers of the answer, as `Response.headers`.
        members: More of the problem: `title`, `type` and `instance` as the RFC has them, and your own. In
            JSON 5 kB at the most.

    Raises:
        ValueError: It is no such answer; raised here, where the traceback shows who asked for it.

    Example:
        >>> def get_order(query, id, orders):
        ...     if id not in orders:
        ...         raise HTTPError(404, 'there is no such order', order=id)
        ...     return orders[id]
    """

    def __init__(
        self,
        status: int,
        detail: str = '',
        headers: Mapping[str, str | Sequence[str]] = EMPTY,
        **members: Any,
    ) -> None:
        if type(status) is not int or not 400 <= status <= 599:
            raise ValueError(f'HTTPError: status: wanted 400 to 599, found {status!r}')
        plain = [*plain_headers(headers)]
        try:
            text = to_json(members)
        except PayloadError as error:
            raise ValueError(f'HTTPError: {error}') from None
        if max(len(text), len(to_json(plain))) > ARGUMENT_LIMIT // 2:
            raise ValueError(
                f'HTTPError: wanted at most {ARGUMENT_LIMIT // 2} bytes of members, or of headers'
            )
        super().__init__(status, str(detail), plain, json.loads(text))
        self.status = status
        self.detail = str(detail)

    def __str__(self) -> str:
        return f'{self.status} {self.detail}'.rstrip()


#: How it is known where only names cross.
NAME = f'{HTTPError.__module__}.{HTTPError.__qualname__}'
