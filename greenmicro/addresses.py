"""Address: where a socket listens, as users write it."""

from __future__ import annotations

import re
from typing import NamedTuple

_HIGHEST_PORT = 65_535
_ADDRESS = re.compile(r'(?:\[(?P<v6>[\da-fA-F:.]+)\]|(?P<host>[\w.-]*)):(?P<port>\d{1,5})', re.ASCII)
#: Who listens on all addresses is asked at the loopback one.
_LOOPBACK = {'': '127.0.0.1', '0.0.0.0': '127.0.0.1', '::': '::1'}  # noqa: S104  # nothing is bound here

WANTED = "'127.0.0.1:8080', ':8080' for all addresses, or '[::1]:8080'"


class Address(NamedTuple):
    """A host and a port.

    Attributes:
        host: A name or an address; '' stands for all addresses of IPv4.
        port: From 1 on.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, value: object) -> Address:
        """Read an address as users write it.

        Raises:
            ValueError: It is none; without words, since callers know where it stood.
        """
        match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
        if match is None or not 0 < int(match['port']) <= _HIGHEST_PORT:
            raise ValueError
        return cls(match['v6'] or match['host'] or '', int(match['port']))

    @property
    def asked(self) -> Address:
        """Where somebody on the same machine reaches it."""
        return Address(_LOOPBACK.get(self.host, self.host), self.port)

    def __str__(self) -> str:
        return f'[{self.host}]:{self.port}' if ':' in self.host else f'{self.host}:{self.port}'
