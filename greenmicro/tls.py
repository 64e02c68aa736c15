"""TLS: what a user says of encrypted connections, and what may be wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

WANTED = "{'ca': path, 'certificate': path, 'key': path, 'verify': True, 'server_name': name}, any of them"
_FILES = ('ca', 'certificate', 'key')


class TLS(NamedTuple):
    """How a connection is encrypted.

    Attributes:
        ca: A file with the certificates of who may vouch for the broker; None: those the system trusts.
        certificate: A file with our own certificate, and those between it and who vouches for us.
        key: A file with its key, if that is not in the same file; not encrypted.
        verify: Whether the broker's certificate is verified, and that it is for the name of its host.
        server_name: The name that it must be for; None: the host's, as the URI has it.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    verify: bool = True
    server_name: str | None = None


def check_tls(value: object) -> Iterator[str]:
    """Yield what is wrong with the options of a user; nothing else may be made a TLS of.

    Args:
        value: What should be a dict of some attributes of TLS.
    """
    if not isinstance(value, Mapping):
        yield f'wanted a dict; found {type(value).__name__}'
        return
    for name, option in value.items():
        if name not in TLS._fields:
            yield f'{name!r} is no option of it{_nearest(name)}'
        elif fault := _fault(name, option):
            yield f'{name!r}: {fault}'
    if value.get('key') is not None and value.get('certificate') is None:
        yield "'key': wanted with a 'certificate'"


def _fault(name: str, option: Any) -> str | None:
    if name == 'verify':
        return None if isinstance(option, bool) else f'wanted True or False; found {option!r}'
    if option is None:
        return None
    if not isinstance(option, str) or not option:
        return f'wanted {"a path" if name in _FILES else "a name"}; found {option!r}'
    if name in _FILES and not (os.path.isfile(option) and os.access(option, os.R_OK)):  # noqa: PTH113
        return f'wanted a file that can be read; there is none at {option!r}'
    return None


def _nearest(name: object) -> str:
    from difflib import get_close_matches  # for a fault only

    near = get_close_matches(str(name), TLS._fields, 1)
    return f"; did you mean '{near[0]}'?" if near else f'; they are {", ".join(TLS._fields)}'
