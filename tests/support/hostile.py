"""What a peer may send, as strategies of hypothesis: properties as raw bytes, and bodies."""

import bz2
import gzip
import json
import lzma
import struct
import zlib
from typing import NamedTuple

from hypothesis import strategies as st

from tests.support.raw_amqp import long, short

#: Names of headers that somebody on the way heeds.
HEEDED = [
    *('compression', 'CC', 'BCC', 'x-death', 'x-delivery-count', 'x-acquired-count', 'x-first-death-queue'),
    *('greenmicro.attempt', 'greenmicro.crashes', 'greenmicro.reason', 'greenmicro.error'),
    *('greenmicro.traceback', 'greenmicro.origin_exchange', 'greenmicro.origin_routing_key'),
    *('greenmicro.origin_queue', 'greenmicro.host', 'greenmicro.time', 'greenmicro.properties'),
    *('nameko.call_id_stack', 'nameko.', 'traceparent', ''),
]
CONTENT_TYPES = [
    *(b'application/json', b'text/plain', b'application/octet-stream', b'application/data', b'*/*', b''),
    *(b'application/x-python-serialize', b'application/x-yaml', b'application/x-msgpack'),
    *(b'application/json; charset=latin-1', b'APPLICATION/JSON', b'application/json;charset=idna'),
]
ENCODINGS = [b'utf-8', b'binary', b'latin-1', b'utf-16', b'utf-7', b'idna', b'rot13', b'base64', b'zip', b'']
COMPRESSIONS = ['gzip', 'application/x-gzip', 'bzip2', 'application/x-bz2', 'xz', 'zstd', 'nothing']
#: Past the year 9999 in seconds, an epoch in milliseconds, and the ends of the type.
TIMES = st.sampled_from([0, 253_402_300_800, 1_700_000_000_000, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)


class Hostile(NamedTuple):
    """A message to publish.

    Attributes:
        properties: flags and values, or what goes for them.
        body: its bytes.
    """

    properties: bytes
    body: bytes


def packed(letter: bytes, form: str, numbers: st.SearchStrategy[float]) -> st.SearchStrategy[bytes]:
    """A field of a table: the letter of its type, and a number."""
    return numbers.map(lambda number: letter + struct.pack(form, number))


TEXTS = st.binary(max_size=40) | st.sampled_from([b'\xff\xfe', b'\xed\xa0\x80', b'q\n\r\0', bytes(9_000)])
SCALARS = st.one_of(
    packed(b't', '>B', st.integers(0, 255)),
    packed(b'b', '>b', st.integers(-(2**7), 2**7 - 1)),
    packed(b'B', '>B', st.integers(0, 2**8 - 1)),
    packed(b's', '>h', st.integers(-(2**15), 2**15 - 1)),
    packed(b'u', '>H', st.integers(0, 2**16 - 1)),
    packed(b'I', '>i', st.integers(-(2**31), 2**31 - 1)),
    packed(b'i', '>I', st.integers(0, 2**32 - 1)),
    packed(b'l', '>q', st.sampled_from([2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1)),
    packed(b'f', '>f', st.floats(width=32)),
    packed(b'd', '>d', st.floats()),
    st.tuples(st.integers(0, 255), st.integers(0, 2**32 - 1)).map(lambda d: b'D' + struct.pack('>BI', *d)),
    packed(b'T', '>Q', TIMES),
    TEXTS.map(lambda text: b'S' + long(text)),
    TEXTS.map(lambda text: b'x' + long(text)),
    st.just(b'V'),
)
NAMES = st.sampled_from(HEEDED).map(str.encode) | st.binary(max_size=12) | st.just(b'n' * 255)


def table(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A table's bytes; a name may stand in it twice."""
    return long(b''.join(short(name) + value for name, value in entries))


def nested(levels: int, opening: bytes) -> bytes:
    """A value that many levels deep, each a table or an array of one."""
    name = short(b'') if opening == b'F' else b''
    size = len(opening) + 4 + len(name)
    # Written from the outside in: each level has the length of what is inside.
    inner = [struct.pack('>I', (levels - level) * size - 5) + name for level in range(levels)]
    return b''.join(opening + head for head in inner)


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: b'A' + long(b''.join(items))),
        st.lists(st.tuples(NAMES, inner), max_size=4).map(lambda entries: b'F' + table(entries)),
    ),
    max_leaves=8,
) | st.builds(nested, st.sampled_from([2, 60, 900, 3_000, 9_000]), st.sampled_from([b'A', b'F']))
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=5).map(table)
#: A header of a large size, up to what a frame holds: AMQP's peers agree on 128 kB at most.
LARGE_HEADERS = st.integers(10_000, 130_000).map(lambda size: table([(b'large', b'S' + long(bytes(size)))]))
COUNTS = st.sampled_from([-1, 0, 1, 2, 5, 1_000_000, 2**31, 2**63 - 1])
FORGED = st.tuples(
    st.sampled_from(['greenmicro.attempt', 'greenmicro.crashes', 'x-delivery-count']), COUNTS
).map(lambda forged: table([(forged[0].encode(), b'l' + struct.pack('>q', forged[1]))]))
COMPRESSED = st.sampled_from(COMPRESSIONS).map(
    lambda name: table([(b'compression', b'S' + long(name.encode()))])
)

SHORTS = st.binary(max_size=20).map(short) | st.just(short(b'i' * 255))
#: The properties in their order: the flag, and what may follow it.
PROPERTIES: list[tuple[int, st.SearchStrategy[bytes]]] = [
    (0x8000, (st.sampled_from(CONTENT_TYPES) | st.binary(max_size=20)).map(short)),
    (0x4000, (st.sampled_from(ENCODINGS) | st.binary(max_size=20)).map(short)),
    (0x2000, st.one_of(HEADERS, HEADERS, FORGED, COMPRESSED, LARGE_HEADERS)),
    (0x1000, st.sampled_from([b'\1', b'\2'])),
    (0x0800, st.integers(0, 255).map(lambda priority: bytes([priority]))),
    (0x0400, SHORTS),
    (0x0200, SHORTS),
    # One that the broker heeds: a shorter one has it drop the message.
    (0x0100, st.just(short(b'3600000'))),
    (0x0080, SHORTS),
    (0x0040, TIMES.map(lambda seconds: struct.pack('>Q', seconds))),
    (0x0020, SHORTS),
    (0x0010, st.just(short(b'guest'))),
    (0x0008, SHORTS),
    (0x0004, SHORTS),
]
JSON = (0x8000, st.just(short(b'application/json')))


@st.composite
def well_formed(draw: st.DrawFn) -> bytes:
    """Flags and the values that they announce; half of them as a JSON body has them."""
    chosen = draw(st.integers(0, 0xFFFF)) & draw(st.integers(0, 0xFFFF))
    layout = PROPERTIES
    if draw(st.booleans()):
        chosen, layout = chosen & ~0x4000 | 0x8000, [JSON, *PROPERTIES[1:]]
    flags, values = 0, b''
    for flag, strategy in layout:
        if chosen & flag:
            flags |= flag
            values += draw(strategy)
    return struct.pack('>H', flags) + values


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    """Well-formed properties of which something is cut off, changed or put in."""
    properties = bytearray(draw(well_formed()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(properties)))
        how = draw(st.sampled_from(['cut', 'flip', 'put in']))
        if how == 'cut':
            del properties[at:]
        elif how == 'flip' and at < len(properties):
            properties[at] ^= 1 << draw(st.integers(0, 7))
        else:
            properties[at:at] = draw(st.binary(max_size=4))
    return bytes(properties)


def bombs() -> dict[bytes, bytes]:
    """Bodies that grow over any limit when they are opened, by the name of their compression."""
    piece = bytes(1_000_000)
    packers = {
        b'gzip': zlib.compressobj(1),
        b'bzip2': bz2.BZ2Compressor(1),
        b'xz': lzma.LZMACompressor(preset=0),
    }
    return {
        name: b''.join([*(packer.compress(piece) for _ in range(70)), packer.flush()])
        for name, packer in packers.items()
    }


MONSTERS = [
    *(b'[' * 100_000, b'{"a":' * 50_000, b'[' * 5_000 + b']' * 5_000, b'9' * 100_000, b'-' + b'9' * 5_000),
    *(b'NaN', b'[Infinity]', b'1e400', b'{"k": 1, "k": 2}', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d'),
    *(b'"\xff"', b'\xef\xbb\xbf{}', b'{}\0', b'{} {}', b' ' * 50_000, b'\x80\x04cos\nsystem\n.', b'', b'nul'),
    *(
        b'"\xed\xa0\x80"',
        '"\u2028"'.encode(),
        b'{"a":1,}',
        b"{'a':1}",
        b'//',
        b'[1,2',
        b'"\n"',
        b'\0' * 1_000,
    ),
]
TAGS = st.builds(
    lambda tag, value: json.dumps({'__type__': tag, '__value__': value}).encode(),
    st.sampled_from(
        ['datetime', 'date', 'time', 'decimal', 'uuid', 'bytes', 'base64', '__import__', 5, None]
    ),
    st.sampled_from(
        ['', '9' * 400, '0001-01-01T00:00:00+23:59', {'hex': 'x'}, {'hex': 5}, [], 'NaN', '1e999999999']
    ),
)
VALID = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
).map(lambda value: json.dumps(value).encode())
BODIES = st.one_of(
    VALID,
    TAGS,
    st.sampled_from(MONSTERS),
    st.binary(max_size=60),
    st.sampled_from([gzip.compress(b'{"id": 1}'), zlib.compress(b'[')[:-2], bz2.compress(b'{}') + b'more']),
)
#: How many bodies are drawn for properties: drawing those takes most of the time.
BODIES_EACH = 3
#: The broker refuses nearly all of the mutilated ones, by closing the connection: that takes it 44 ms each.
PROPERTIES_AND_BODIES = st.tuples(
    st.integers(0, 15).flatmap(lambda choice: well_formed() if choice else mutilated()),
    st.lists(BODIES, min_size=BODIES_EACH, max_size=BODIES_EACH),
)


def bomb(name: bytes, body: bytes) -> Hostile:
    """A compressed body with the header that says how."""
    properties = struct.pack('>H', 0xA000) + short(b'application/json')
    return Hostile(properties + table([(b'compression', b'S' + long(name))]), body)
