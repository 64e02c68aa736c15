"""Head: the headers of a request, read strictly; two readings of one request let a second one slip in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

#: So many headers, and so many bytes of them all together.
HEADERS_MOST = 100
BYTES_MOST = 32_768
_LINE = re.compile(r"([\w!#$%&'*+.^`|~-]+):[ \t]*(.*?)[ \t]*", re.ASCII).fullmatch
#: Nobody needs them, and where a line ends must not be a matter of opinion.
_CONTROL = re.compile(r'[\x00-\x08\x0a-\x1f\x7f]').search


class RefusedError(ValueError):
    """A request that is not read any further; its connection ends with the answer.

    Args:
        status: What it is answered with.
        detail: What is wrong, for people.
        headers: Headers of the answer.
    """

    def __init__(self, status: int, detail: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(status, detail)
        self.headers = headers
        self.status = status
        self.detail = detail


class Head:
    """The headers of one request, in the form that gevent's server reads them in.

    Attributes:
        pairs: Name as it came, and value.
        status: Always empty; something else means a fault to gevent.
    """

    status = ''

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs
        self._values: dict[str, str] = {}
        for name, value in pairs:
            name = name.lower()
            if name in self._values:
                # With a semicolon between cookies (RFC 9113, 8.2.3), as in a header of one line.
                value = f'{self._values[name]}{"; " if name == "cookie" else ", "}{value}'
            self._values[name] = value

    @classmethod
    def read(cls, lines: Any) -> Head:
        """Read headers up to the empty line.

        Args:
            lines: Has a `readline`, as a buffered reader.

        Raises:
            RefusedError: They are none, or too many, or say in two ways how long the body is.
        """
        pairs: list[tuple[str, str]] = []
        room = BYTES_MOST
        while True:
            line = lines.readline(room + 1)
            room -= len(line)
            if room < 0 or len(pairs) > HEADERS_MOST:
                raise RefusedError(431, f'wanted at most {HEADERS_MOST} headers of {BYTES_MOST} bytes in all')
            if line in (b'\r\n', b'\n'):
                break
            pairs.append(_pair(line))
        head = cls(pairs)
        head.check_length()
        return head

    def check_length(self) -> None:
        """Refuse what leaves open where the body ends."""
        length, encoding = self.get('content-length'), self.get('transfer-encoding')
        if encoding is not None and encoding.lower() != 'chunked':
            raise RefusedError(501, 'of all transfer encodings only chunked is known')
        if encoding is not None and length is not None:
            raise RefusedError(400, 'a body is either chunked or has a length')
        if length is not None and not (length.isascii() and length.isdigit() and len(length) < 20):
            raise RefusedError(400, 'the content length is no number')

    # As gevent's server asks.

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a header, several of one name joined."""
        return self._values.get(name.lower(), default)

    getheader = get

    def __delitem__(self, name: str) -> None:
        del self._values[name]

    @property
    def typeheader(self) -> str | None:
        """The content type."""
        return self._values.get('content-type')

    @property
    def headers(self) -> Iterator[str]:
        """The lines."""
        return (f'{name}: {value}\r\n' for name, value in self.pairs)

    @property
    def values(self) -> dict[str, str]:
        """Value by lower-case name."""
        return self._values


def _pair(line: bytes) -> tuple[str, str]:
    text = line.decode('latin-1')
    match = _LINE(text[:-2] if text.endswith('\r\n') else text[:-1]) if text.endswith('\n') else None
    if match is None or _CONTROL(match[2]):
        raise RefusedError(400, 'a line among the headers is none')
    return match[1], match[2]
