"""Request and Response: what a target may want to know of a request, and say in its answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from greenmicro import codecs
from greenmicro.errors import PayloadError
from greenmicro.messages import EMPTY, Message

#: The header of a Message under which its Request is kept, as plain values.
REQUEST_HEADER = 'http.request'
JSON = 'application/json'
#: Without a body, whatever the target says.
BODILESS = frozenset((204, 304))
#: What says how the connection goes on, and how long the body is: ours to say.
_OURS = frozenset(('connection', 'content-length', 'date', 'keep-alive', 'transfer-encoding', 'upgrade'))
_TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII).fullmatch
_CONTROL = re.compile(r'[\x00-\x08\x0a-\x1f\x7f]').search


class Request(NamedTuple):
    """A request as it came.

    Attributes:
        method: Upper case; HEAD is answered like GET.
        path: Decoded, without the query.
        query_string: What follows the question mark, as it came.
        headers: By lower-case name; several of one name in one, with a comma between.
        parameters: The variable parts of the path, converted, by their names in it.
        client: The address of whoever is connected, which may be a proxy.
        body: The bytes of the body.
    """

    method: str
    path: str
    query_string: str = ''
    headers: Mapping[str, str] = EMPTY
    parameters: Mapping[str, Any] = EMPTY
    client: str = ''
    body: bytes = b''

    @classmethod
    def of(cls, message: Message) -> Request:
        """Return the request that a message was made of.

        Raises:
            LookupError: It was made of none.
        """
        method, path, query_string, headers, parameters, client, has_body = message.headers[REQUEST_HEADER]
        body = message.body if has_body else b''
        return cls(method, path, query_string, headers, parameters, client, body)

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's values by name, in their order."""
        return query_of(self.query_string)


def query_of(query_string: str) -> dict[str, list[str]]:
    """Return a query's values by name; what is no UTF-8 in it comes as replacement characters."""
    from urllib.parse import parse_qs  # 4 ms of a child's start, for those only that ask

    return parse_qs(query_string, keep_blank_values=True)


@dataclass(frozen=True, slots=True)
class Response:
    """What a target returns where a value as JSON with status 200 is not it.

    Attributes:
        body: bytes and text as they are, None for none, anything else as JSON.
        status: 200 to 599.
        headers: Name to text, or to a list of texts for a header that comes several times.
        content_type: Of the body; by default what fits: JSON, `text/plain` or `application/octet-stream`.

    Example:
        >>> def place_order(order):
        ...     return Response({'id': 7}, status=201, headers={'Location': '/orders/7'})
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    content_type: str | None = None


class Answer(NamedTuple):
    """A response in plain values, as it goes out."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


def answer_of(result: Any) -> Answer:
    """Make the answer of what a target returned.

    Raises:
        PayloadError: The body cannot be encoded; the message names the element.
        ValueError: Status or headers are none.
    """
    if result is None:
        return Answer(204, [], b'')
    if not isinstance(result, Response):
        return Answer(200, [('Content-Type', JSON)], to_json(result))
    if type(result.status) is not int or not 200 <= result.status <= 599:
        raise ValueError(f'Response: status: wanted 200 to 599, found {result.status!r}')
    body, content_type = _body(result.body)
    if body and result.status in BODILESS:
        raise ValueError(f'Response: a response of status {result.status} has no body')
    headers = list(plain_headers(result.headers))
    content_type = result.content_type or content_type
    if body and not any(name.lower() == 'content-type' for name, _ in headers):
        headers += plain_headers({'Content-Type': content_type})
    return Answer(result.status, headers, body)


def plain_headers(headers: Mapping[str, str | Sequence[str]]) -> Iterator[tuple[str, str]]:
    """Yield name and value of each header.

    Raises:
        ValueError: One is none; nothing gets into a response that would end its header.
    """
    for name, values in headers.items():
        if not (isinstance(name, str) and _TOKEN(name)):
            raise ValueError(f'{name!r} is no name of a header')
        if name.lower() in _OURS:
            raise ValueError(f'the header {name} is set by the server')
        for value in values if isinstance(values, (list, tuple)) else [values]:
            if not isinstance(value, str) or _CONTROL(value) or not _is_latin(value):
                raise ValueError(f'the header {name}: wanted a text of one line, in latin-1, found {value!r}')
            yield name, value


def to_json(value: Any) -> bytes:
    """Write plain JSON, as others read it: dates in ISO 8601, Decimal and UUID as text.

    Raises:
        PayloadError: An element cannot be encoded; the message names its path and its type.
    """
    try:
        return _dump(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        codecs.encode(value)  # finds the element
        raise PayloadError(f'the result: {error}') from None


def _body(body: Any) -> tuple[bytes, str]:
    if body is None:
        return b'', JSON
    if isinstance(body, bytes):
        return body, 'application/octet-stream'
    if isinstance(body, str):
        return body.encode(), 'text/plain; charset=utf-8'
    return to_json(body), JSON


def _is_latin(text: str) -> bool:
    try:
        text.encode('latin-1')
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: Any) -> Any:
    if (reduce := getattr(value, '__json__', None)) is not None:
        return reduce()
    # By name: modules that nobody has imported need not be.
    for base in type(value).__mro__:
        name = f'{base.__module__}.{base.__qualname__}'
        if name in ('datetime.datetime', 'datetime.date', 'datetime.time'):
            return value.isoformat()
        if name in ('decimal.Decimal', 'uuid.UUID'):
            return str(value)
    raise TypeError(f'a {type(value).__name__} has no form in JSON; bytes go into a Response')


_dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(',', ':'), default=_plain).encode
