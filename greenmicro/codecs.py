"""Content type and body to payload and back, with kombu's type tags; the one decoder in all modes."""

from __future__ import annotations

import binascii
import json
import re
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from greenmicro.errors import ContentRefusedError, PayloadError
from greenmicro.messages import Message

#: A compressed body that grows over this is refused; in bytes.
MAX_DECOMPRESSED = 64 * 1024 * 1024
#: Longer integers are refused, in digits: reading one takes time with the square of its length.
MAX_DIGITS = 4_300
#: Nesting that is refused even under a recursion limit that allows it: at 100,000 levels the C scanner
#: overran the stack and ended the process [M].
MAX_DEPTH = 10_000
#: A flaw further on is told without its place: finding it reads the text 17 times, for up to 40 ms [M].
LOCATE_LIMIT = 100_000
#: So many characters of a body are quoted in an error, at the most.
QUOTE_LIMIT = 40

#: Never `codecs.lookup` on a peer's word: it knows idna and punycode, which take quadratic time, and it
#: keeps each unknown name for ever.
_ENCODING = re.compile(
    'utf-?8|utf-(16|32)(-?(le|be))?|(us-)?ascii|latin-?1|iso-8859-(1[013-6]|[1-9])|(windows-|cp)125[0-8]|'
    'koi8-r|gb18030|gbk|gb2312|big5|euc-jp|euc-kr|shift-jis'
).fullmatch
_Body = bytes | bytearray
_Reader = Callable[[_Body, str], Any]
_SURROGATE = re.compile(r'\\u[dD][89a-fA-F]').search
#: Pairs are read as one; the group is a surrogate that is in none.
_ESCAPES = re.compile(r'\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]|(u[dD][89a-fA-F])|.)').finditer
_SPACE = ' \t\n\r'
_CHUNK = 4 * 1024 * 1024
_SEARCH_DEPTH = 100


def decode(message: Message) -> Any:
    """Make the payload of a message from its body.

    Args:
        message: JSON, text (`text/plain`) or bytes (`application/octet-stream`, `application/data`), perhaps
            compressed by kombu. Its `unreadable` is not looked at.

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
    body: _Body = message.body
    # After the content type: nothing is unpacked only to be refused.
    if compression := message.headers.get('compression'):
        body = _decompress(body, compression)
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
    try:
        return _dump(payload).encode(), 'application/json', 'utf-8'
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(_culprit(payload, 'payload', (), error) or f'payload: {error}') from None


def _form(content_type: Any, encoding: Any) -> tuple[_Reader, str]:
    """Choose the reader and the text encoding for what is not plainly JSON in UTF-8."""
    media, _, parameters = content_type.partition(';') if isinstance(content_type, str) else ('', '', '')
    read = _READERS.get(media.strip().lower())
    if read is None:
        found = 'is missing' if content_type is None else f'{_quoted(content_type)} is not accepted'
        raise ContentRefusedError(f'the content type {found}; accepted are {", ".join(_READERS)}')
    charset = re.search(r'charset\s*=\s*"?([\w-]+)', parameters, re.IGNORECASE)
    wanted = encoding or (charset[1] if charset else 'utf-8')
    name = wanted.lower().replace('_', '-') if isinstance(wanted, str) else ''
    if name in ('binary', 'ascii-8bit'):  # kombu sets these on bytes, and reads JSON in them as UTF-8
        return read, 'utf-8'
    if not _ENCODING(name):
        found = f'the content encoding {_quoted(wanted)} is not accepted'
        raise ContentRefusedError(f'{found}; accepted are utf-8, binary and the usual text encodings')
    return read, name


def _read_bytes(body: _Body, _encoding: str) -> bytes:
    return bytes(body)


def _read_text(body: _Body, encoding: str) -> str:
    try:
        return str(body, encoding)
    except UnicodeDecodeError as error:
        raise PayloadError(f'the body is not {encoding}: {error.reason} at byte {error.start}') from None


def _read_json(body: _Body, encoding: str) -> Any:
    text = _read_text(body, encoding)
    start = _past_space(text, 0) if text[:1] in _SPACE else 0
    scan = _scan if len(text) <= MAX_DIGITS else _scanner_of_long(text)
    try:
        payload, end = scan(text, start)
        if end != len(text) and (end := _past_space(text, end)) != len(text):
            raise json.JSONDecodeError('something follows the value', text, end)
    except (StopIteration, ValueError, RecursionError) as error:
        raise PayloadError(_complaint(error, text, start)) from None
    # Only an escape can bring a lone surrogate into valid text; looking for one takes 20 ns in 300 bytes.
    if '\\' in text and _SURROGATE(text):
        _refuse_lone_surrogates(text)
    return payload


def _refuse_lone_surrogates(text: str) -> None:
    lone = next((escape for escape in _ESCAPES(text) if escape[1]), None)
    if lone:
        raise PayloadError(f'the JSON body holds a lone surrogate at character {lone.start()}')


def _past_space(text: str, at: int) -> int:
    return len(text) - len(text[at:].lstrip(_SPACE))


_READ_JSON: tuple[_Reader, str] = (_read_json, 'utf-8')
_READERS: dict[str, _Reader] = {
    'application/json': _read_json,
    'text/plain': _read_text,
    'application/octet-stream': _read_bytes,
    'application/data': _read_bytes,
}


class _FlawError(ValueError):
    """Something that the scanner would read, but no payload may hold."""


def _object(pairs: list[tuple[str, Any]]) -> Any:
    payload = dict(pairs)
    if len(payload) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _FlawError(f'the key {_quoted(twice)} twice in one object')
    if len(payload) == 2 and '__type__' in payload and '__value__' in payload:
        return _untagged(payload)
    return payload


def _float(digits: str) -> float:
    value = float(digits)
    if -sys.float_info.max <= value <= sys.float_info.max:
        return value
    raise _FlawError(f'the number {_quoted(digits)}, which is out of range')


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError
    return int(digits)


def _constant(name: str) -> Any:
    raise _FlawError(f'{name}, which is not JSON')


# The bare scanner: JSONDecoder.decode around it adds 0.7 us to 4.9, json.loads with the same hooks 3.1 [M].
_Scanner = Callable[[str, int], tuple[Any, int]]


def _scanner(**hooks: Any) -> _Scanner:
    decoder: Any = json.JSONDecoder(
        object_pairs_hook=_object, parse_float=_float, parse_constant=_constant, **hooks
    )
    scan: _Scanner = decoder.scan_once
    return scan


_scan = _scanner()
_scan_counting = _scanner(parse_int=_integer)


def _scanner_of_long(text: str) -> _Scanner:
    """Guard against what only long bodies hold, by the limits that the process has now."""
    if sys.getrecursionlimit() > MAX_DEPTH and (at := _deep_at(text)):
        raise PayloadError(f'the JSON body holds too many levels, ending at character {at}')
    digits: int = getattr(sys, 'get_int_max_str_digits', int)()
    return _scan if 0 < digits <= MAX_DIGITS else _scan_counting


def _deep_at(text: str) -> int | None:
    depth, inside = 0, False
    for match in re.finditer(r'["\[\]{}]|\\.', text, re.DOTALL):
        mark = match[0]
        if mark == '"':
            inside = not inside
        elif not inside:
            depth += 1 if mark in '[{' else -1
            if depth > MAX_DEPTH:
                return match.start()
    return None


def _complaint(error: Exception, text: str, start: int) -> str:
    """Say what is wrong with a JSON body, and at which character."""
    if not text[start:]:
        return 'the JSON body is empty'
    if isinstance(error, StopIteration):
        error = json.JSONDecodeError('a value is missing', text, error.value)
    if isinstance(error, json.JSONDecodeError):
        found = _quoted(text[error.pos :][:QUOTE_LIMIT]) if text[error.pos :] else 'its end'
        wrong = error.msg.removesuffix(' at')
        return f'the body is not JSON: {wrong} at character {error.pos}, before {found}'
    what = error if isinstance(error, _FlawError) else 'an integer of too many digits'
    what = 'too many levels' if isinstance(error, RecursionError) else what
    return f'the JSON body holds {what}{_place(type(error), text[:LOCATE_LIMIT], start)}'


def _place(error: type[Exception], text: str, start: int) -> str:
    """Find the shortest beginning of a body that has its flaw; each shorter one is merely cut off."""

    def flawed(end: int) -> bool:
        try:
            _scan_counting(text[:end], start)
        except (StopIteration, ValueError, RecursionError) as found:
            return type(found) is error
        return False

    at = bisect_left(range(len(text) + 1), True, key=flawed)
    return f', ending at character {at}' if at <= len(text) else ''


def _quoted(value: Any) -> str:
    """Quote a little of what a peer sent; of what is no text, its type."""
    text = repr(value[:QUOTE_LIMIT]) if isinstance(value, str) else type(value).__name__
    return text if len(text) <= QUOTE_LIMIT else f'{text[: QUOTE_LIMIT - 3]}...'


def _load(path: str) -> Any:
    # Where it is needed: datetime, decimal, uuid and base64 together take 8 ms of a child's start [M].
    module, _, name = path.partition('.')
    return getattr(import_module(module), name)


#: kombu's tags: from the tagged value, and for a type to its tag and value.
_FROM_TAG: dict[Any, Callable[[Any], Any]] = {
    'datetime': lambda value: _load('datetime.datetime').fromisoformat(value),
    'date': lambda value: _load('datetime.datetime').fromisoformat(value).date(),
    'time': lambda value: _load('datetime.time').fromisoformat(value),
    'decimal': lambda value: _load('decimal.Decimal')(str.strip(value)),
    'uuid': lambda value: _load('uuid.UUID')(hex=value['hex']),
    'bytes': lambda value: str.encode(value),
    'base64': lambda value: _load('base64.b64decode')(str.encode(value), validate=True),
}
_TO_TAG: dict[str, tuple[str, Callable[[Any], Any]]] = {
    'datetime.datetime': ('datetime', lambda value: value.isoformat()),
    'datetime.date': ('date', lambda value: value.isoformat()),
    'datetime.time': ('time', lambda value: value.isoformat()),
    'decimal.Decimal': ('decimal', str),
    'uuid.UUID': ('uuid', lambda value: {'hex': value.hex}),
    'builtins.bytes': ('bytes', bytes.decode),
}


def _untagged(payload: dict[str, Any]) -> Any:
    tag, value = payload['__type__'], payload['__value__']
    if not isinstance(tag, str) or tag not in _FROM_TAG:
        return payload
    try:
        return _FROM_TAG[tag](value)
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError):
        raise _FlawError(f'{_quoted(value)}, which is tagged as {tag} and is none') from None


def _tagged(value: Any) -> Any:
    """Do as kombu does with what JSON does not know."""
    if (reduce := getattr(value, '__json__', None)) is not None:
        return reduce()
    for base in type(value).__mro__:
        tag, convert = _TO_TAG.get(f'{base.__module__}.{base.__qualname__}', ('', None))
        if convert:
            try:
                return {'__type__': tag, '__value__': convert(value)}
            except UnicodeDecodeError:
                text = binascii.b2a_base64(value, newline=False).decode()
                return {'__type__': 'base64', '__value__': text}
    raise TypeError(
        'only dict, list, tuple, str, int, float, bool, None, datetime, date, time, Decimal, UUID, '
        'bytes and objects with __json__ can be encoded'
    )


_dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(',', ':'), default=_tagged).encode


def _culprit(value: Any, path: str, above: tuple[Any, ...], error: Exception) -> str | None:
    """Find the first element that does not encode and say why; None when there is none."""
    if len(above) > _SEARCH_DEPTH:
        return f'{path[:100]}... is nested over {_SEARCH_DEPTH} levels deep and not searched further: {error}'
    if any(value is one for one in above):
        return f'{path} ({type(value).__name__}) contains itself'
    try:
        parts = _parts(value, path)
    except (TypeError, ValueError, RecursionError) as fault:
        return f'{path} ({type(value).__name__}): {fault}'
    found = (_culprit(part, place, (*above, value), error) for part, place in parts)
    return next(filter(None, found), None)


def _parts(value: Any, path: str) -> Iterable[tuple[Any, str]]:
    """List what an element is made of, each with its path; raise if the element itself does not encode."""
    if isinstance(value, dict):
        for key in value:
            _dump({key: None}).encode()
        return [(part, f'{path}[{repr(key)[:QUOTE_LIMIT]}]') for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [(part, f'{path}[{index}]') for index, part in enumerate(value)]
    if value is None or isinstance(value, (str, int, float)):
        (value if isinstance(value, str) else _dump(value)).encode()
        return []
    return [(_tagged(value), path)]


#: kombu's names for a compression: what undoes it, with which options, and what it raises.
_ENGINES: dict[str, tuple[str, dict[str, int], str]] = {
    **dict.fromkeys(
        # kombu's gzip is zlib; 47 takes real gzip, which others send by that name, as well.
        ('application/x-gzip', 'gzip', 'zlib'),
        ('zlib.decompressobj', {'wbits': 47}, 'zlib.error'),
    ),
    **dict.fromkeys(
        ('application/x-bz2', 'bzip2', 'bzip'),
        ('bz2.BZ2Decompressor', {}, 'builtins.OSError'),
    ),
    **dict.fromkeys(
        ('application/x-lzma', 'lzma', 'xz'),
        ('lzma.LZMADecompressor', {'memlimit': 2 * MAX_DECOMPRESSED}, 'lzma.LZMAError'),
    ),
}


def _decompress(body: _Body, compression: Any) -> _Body:
    """Undo kombu's compression, by pieces, so that a bomb takes the cap and no more.

    64 MiB of zeros take 0.09 s from zlib, 0.24 s from bz2 and 0.18 s from lzma [M].
    """
    try:
        path, options, error = _ENGINES[compression]
        engine, broken = _load(path)(**options), _load(error)
    except (KeyError, TypeError, ImportError):  # the last: a Python that was built without it
        found = f'the compression {_quoted(compression)} is not accepted'
        raise ContentRefusedError(f'{found}; accepted are {", ".join(_ENGINES)}') from None
    try:
        return _unpacked(engine, body)
    except (broken, EOFError) as fault:
        raise PayloadError(f'the body is not {compression}: {fault}') from None


def _unpacked(engine: Any, body: _Body) -> bytearray:
    opened, rest = bytearray(), body
    while not engine.eof:
        piece = engine.decompress(rest, _CHUNK)
        # zlib hands back what it did not come to; the others keep it.
        rest = getattr(engine, 'unconsumed_tail', b'')
        opened += piece
        if len(opened) > MAX_DECOMPRESSED:
            raise PayloadError(f'the body grows over {MAX_DECOMPRESSED} bytes when decompressed')
        if not piece and not engine.eof:
            raise EOFError(f'it breaks off after {len(body)} bytes')
    if engine.unused_data:
        raise EOFError(f'{len(engine.unused_data)} bytes follow its end')
    return opened
