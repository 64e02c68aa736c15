"""Content type and body to payload and back; the one decoder in all modes.

What a content type says and which are accepted is decided here. Then `compression` unpacks the body, and
`json_reader` or `texts` reads it; `json_writer` makes one. `tags` are kombu's, for what JSON has no form of.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from greenmicro.codecs.compression import decompress
from greenmicro.codecs.flaws import quoted
from greenmicro.codecs.json_reader import read_json
from greenmicro.codecs.json_writer import write_json
from greenmicro.codecs.texts import accepted_encoding, read_text
from greenmicro.errors import ContentRefusedError, PayloadError
from greenmicro.messages import Message

MEGABYTE = 1024 * 1024
#: The largest body that is read unless told otherwise, unpacked if it is compressed; in bytes.
MOST = 64 * MEGABYTE

_Reader = Callable[[bytes | bytearray, str], Any]


def decode(message: Message, most: int = MOST) -> Any:
    """Make the payload of a message from its body.

    Args:
        message: JSON, text (`text/plain`) or bytes (`application/octet-stream`, `application/data`), perhaps
            compressed by kombu. Its `unreadable` is not looked at.
        most: The largest body that is read, in bytes; as it came, and unpacked.

    Returns:
        What the body holds; what kombu tagged as datetime, date, time, decimal, uuid or bytes comes back so.

    Raises:
        ContentRefusedError: Content type, encoding or compression is not accepted; the body was not read.
        PayloadError: The body is not what its content type says, or too much.
    """
    content_type = message.properties.get('content_type')
    encoding = message.properties.get('content_encoding')
    if content_type == 'application/json' and (encoding == 'utf-8' or encoding is None):
        read, encoding = _READ_JSON
    else:
        read, encoding = _form(content_type, encoding)
    body: bytes | bytearray = message.body
    if len(body) > most:
        raise PayloadError(f'the body has {len(body)} bytes, of at most {most}')
    # After the content type: nothing is unpacked only to be refused.
    if compression := message.headers.get('compression'):
        body = decompress(body, compression, most)
    return read(body, encoding)


def encode(payload: Any) -> tuple[bytes, str, str]:
    """Make a JSON body from a payload, a bare string included.

    Args:
        payload: What JSON holds, plus datetime, date, time, Decimal, UUID and bytes (tagged as kombu tags
            them) and objects with `__json__`. Keys that are numbers, booleans or None become strings.

    Returns:
        The body, its content type and its content encoding.

    Raises:
        PayloadError: An element cannot be encoded; the message names its path and its type.
    """
    return write_json(payload), 'application/json', 'utf-8'


def _form(content_type: Any, encoding: Any) -> tuple[_Reader, str]:
    """Choose the reader and the text encoding for what is not plainly JSON in UTF-8."""
    media, _, parameters = content_type.partition(';') if isinstance(content_type, str) else ('', '', '')
    read = _READERS.get(media.strip().lower())
    if read is None:
        found = 'is missing' if content_type is None else f'{quoted(content_type)} is not accepted'
        raise ContentRefusedError(f'the content type {found}; accepted are {", ".join(_READERS)}')
    charset = re.search(r'charset\s*=\s*"?([\w-]+)', parameters, re.IGNORECASE)
    return read, accepted_encoding(encoding or (charset[1] if charset else 'utf-8'))


def _read_bytes(body: bytes | bytearray, _encoding: str) -> bytes:
    return bytes(body)


_READ_JSON: tuple[_Reader, str] = (read_json, 'utf-8')
_READERS: dict[str, _Reader] = {
    'application/json': read_json,
    'text/plain': read_text,
    'application/octet-stream': _read_bytes,
    'application/data': _read_bytes,
}
