"""Text in a body, and the encodings in which it is accepted."""

from __future__ import annotations

import re
from typing import Any

from greenmicro.codecs.flaws import quoted
from greenmicro.errors import ContentRefusedError, PayloadError

#: Never `codecs.lookup` on a peer's word: it knows idna and punycode, which take quadratic time, and it
#: keeps each unknown name for ever.
_ENCODING = re.compile(
    'utf-?8|utf-(16|32)(-?(le|be))?|(us-)?ascii|latin-?1|iso-8859-(1[013-6]|[1-9])|(windows-|cp)125[0-8]|'
    'koi8-r|gb18030|gbk|gb2312|big5|euc-jp|euc-kr|shift-jis'
).fullmatch


def accepted_encoding(wanted: Any) -> str:
    """Check the name of a text encoding.

    Args:
        wanted: What the sender wrote.

    Returns:
        The name of the encoding for Python.

    Raises:
        ContentRefusedError: It is not accepted.
    """
    name = wanted.lower().replace('_', '-') if isinstance(wanted, str) else ''
    if name in ('binary', 'ascii-8bit'):  # kombu sets these on bytes, and reads JSON in them as UTF-8
        return 'utf-8'
    if not _ENCODING(name):
        found = f'the content encoding {quoted(wanted)} is not accepted'
        raise ContentRefusedError(f'{found}; accepted are utf-8, binary and the usual text encodings')
    return name


def read_text(body: bytes | bytearray, encoding: str) -> str:
    """Read a body as text.

    Raises:
        PayloadError: It is none in this encoding.
    """
    try:
        return str(body, encoding)
    except UnicodeDecodeError as error:
        raise PayloadError(f'the body is not {encoding}: {error.reason} at byte {error.start}') from None
