"""Codecs: what becomes a payload, what a hostile body comes to, and that kombu understands us."""

from __future__ import annotations

import bz2
import datetime
import decimal
import gzip
import json
import lzma
import subprocess
import sys
import time
import tracemalloc
import uuid
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu import compression as kombu_compression
from kombu.utils import json as kombu_json

from greenmicro import codecs
from greenmicro.codecs import decode, encode
from greenmicro.errors import ContentRefusedError, PayloadError
from greenmicro.messages import Message

JSON = {'content_type': 'application/json', 'content_encoding': 'utf-8'}
UTC = datetime.timezone.utc


def payload_of(
    body: bytes, content_type: Any = 'application/json', encoding: Any = None, **headers: Any
) -> Any:
    properties = {'content_type': content_type, 'content_encoding': encoding}
    return decode(Message(body, properties, headers))


def fault(body: bytes, *args: Any, **headers: Any) -> str:
    with pytest.raises(PayloadError) as caught:
        payload_of(body, *args, **headers)
    assert not isinstance(caught.value, ContentRefusedError)
    return str(caught.value)


def cost(body: bytes, **headers: Any) -> tuple[float, int]:
    """Take the CPU seconds that a bad body costs and, in a second run, the bytes at the peak."""
    begin = time.process_time()
    fault(body, **headers)
    seconds = time.process_time() - begin
    tracemalloc.start()
    try:
        fault(body, **headers)
        return seconds, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refusal(body: bytes, *args: Any, **headers: Any) -> str:
    with pytest.raises(ContentRefusedError) as caught:
        payload_of(body, *args, **headers)
    return str(caught.value)


def encode_fault(payload: Any) -> str:
    with pytest.raises(PayloadError) as caught:
        encode(payload)
    return str(caught.value)


# ---- content types and encodings


@pytest.mark.parametrize(
    ('content_type', 'encoding'),
    [
        ('application/json', 'utf-8'),
        ('application/json', None),
        ('application/json', ''),
        ('application/json', 'UTF-8'),
        ('application/json', 'utf_8'),
        ('application/json', 'binary'),
        ('application/json; charset=utf-8', None),
        ('Application/JSON;profile=x', 'utf8'),
        ('application/json', 'utf-16-le'),
        ('application/json', 'cp1252'),
        ('application/json; charset="iso-8859-15"', None),
        ('application/json; charset=utf-16', 'latin-1'),
    ],
)
def test_json_comes_in_many_spellings(content_type: str, encoding: str | None) -> None:
    """Parameters, case and the usual encodings are tolerated; the property goes before the parameter."""
    plain = {'utf-16-le': 'utf-16-le', 'cp1252': 'cp1252', 'latin-1': 'latin-1'}.get(encoding or '', 'utf-8')
    if 'iso-8859-15' in content_type:
        plain = 'iso-8859-15'
    assert payload_of('{"name": "Jürgen"}'.encode(plain), content_type, encoding) == {'name': 'Jürgen'}


def test_every_accepted_encoding_is_known_to_python() -> None:
    """What the pattern lets through never becomes a LookupError."""
    names = [f'{prefix}{n}' for prefix in ('iso-8859-', 'windows-', 'cp', 'utf-') for n in range(1300)]
    names += [
        'utf8',
        'us-ascii',
        'ascii',
        'latin1',
        'utf-16le',
        'utf-32-be',
        'gb18030',
        'gbk',
        'gb2312',
        'big5',
    ]
    names += ['euc-jp', 'euc-kr', 'shift-jis']
    accepted = [name for name in names if codecs._ENCODING(name)]
    assert len(accepted) == 15 + 9 + 9 + 3 + 13
    for name in accepted:
        payload_of('hello'.encode(name), 'text/plain', name)


def test_text_is_a_string() -> None:
    """text/plain is not parsed."""
    assert payload_of(b'{"a": 1}', 'text/plain') == '{"a": 1}'
    assert payload_of(b'', 'text/plain', 'us-ascii') == ''


@pytest.mark.parametrize('content_type', ['application/octet-stream', 'application/data'])
def test_bytes_stay_bytes(content_type: str) -> None:
    """Binary types hand the body over, whatever text encoding a client set by default."""
    assert payload_of(b'\xff\x00', content_type, 'binary') == b'\xff\x00'
    assert payload_of(b'\xff\x00', content_type, 'utf-8') == b'\xff\x00'


@pytest.mark.parametrize(
    'content_type',
    [
        'application/x-python-serialize',
        'application/x-yaml',
        'application/x-msgpack',
        'application/vnd.api+json',
        'text/html',
        '',
        b'application/json',
        ['application/json'],
    ],
)
def test_other_content_types_are_refused(content_type: Any) -> None:
    """Pickle, yaml and the rest are named and never looked into, nor what they are compressed with."""
    text = refusal(b'cos\nsystem\n(S"true"\ntR.', content_type, compression='no such thing')
    assert text.startswith('the content type ')
    assert text.endswith(
        'accepted are application/json, text/plain, application/octet-stream, application/data'
    )
    if isinstance(content_type, str):
        assert repr(content_type) in text


def test_a_missing_content_type_is_refused() -> None:
    """Nothing is guessed."""
    assert refusal(b'{}', None).startswith('the content type is missing; accepted are')
    with pytest.raises(ContentRefusedError, match='is missing'):
        decode(Message(b'{}'))


@pytest.mark.parametrize('encoding', ['gzip', 'idna', 'punycode', 'unicode_escape', 'utf-7', 'x' * 200, 3])
def test_other_encodings_are_refused(encoding: Any) -> None:
    """Codecs that Python knows but no sender should use are refused like unknown ones."""
    assert refusal(b'{}', 'application/json', encoding).startswith('the content encoding ')
    assert refusal(b'{}', f'application/json; charset={encoding}').startswith('the content encoding ')


# ---- bodies that are no payload


@pytest.mark.parametrize(
    ('body', 'words'),
    [
        (b'', 'the JSON body is empty'),
        (b' \n', 'the JSON body is empty'),
        (b'{"a":', 'a value is missing at character 5, before its end'),
        (b'tru', "a value is missing at character 0, before 'tru'"),
        (b'[1 2]', "at character 3, before '2]'"),
        (b'{"a": 1} x', "something follows the value at character 9, before 'x'"),
        (b'{} \x00', 'something follows the value at character 3'),
        (b'"a\nb"', 'Invalid control character at character 2'),
        (b'\xff', 'the body is not utf-8: invalid start byte at byte 0'),
        (b'["\xed\xa0\x80"]', 'the body is not utf-8: invalid continuation byte at byte 2'),
        (b'[NaN]', 'holds NaN, which is not JSON, ending at character 4'),
        (b' [1, -Infinity]', 'holds -Infinity, which is not JSON, ending at character 14'),
        (b'Infinity', 'holds Infinity, which is not JSON, ending at character 8'),
        (b'[1e999]', "holds the number '1e999', which is out of range, ending at character 6"),
        (b'[-1e400]', "holds the number '-1e400', which is out of range, ending at character 7"),
        (b'{"a":{"k":1,"b":2,"\\u006b":3}}', "holds the key 'k' twice in one object, ending at character 29"),
        (b'["\\ud800"]', 'holds a lone surrogate at character 2'),
        (b'["\\ude00\\ud83d"]', 'holds a lone surrogate at character 2'),
        (b'["\\ud83d\\uD83D\\uDE00"]', 'holds a lone surrogate at character 2'),
        (b'["\\\\ud83d\\ude00"]', 'holds a lone surrogate at character 9'),
        (b'{"\\uDFFF": 1}', 'holds a lone surrogate at character 2'),
    ],
)
def test_a_bad_body_is_told_what_and_where(body: bytes, words: str) -> None:
    """The error says what is wrong and at which character or byte."""
    assert words in fault(body)


@pytest.mark.parametrize(
    ('body', 'payload'),
    [
        (b' \r\n\t{"a": [1, 2.5, null, true]} \n', {'a': [1, 2.5, None, True]}),
        (b'"text"', 'text'),
        (b'0', 0),
        (b'"\\ud83d\\ude00 \\\\ud800 \\ud7ff \\"\\u00fc"', '\U0001f600 \\ud800 \ud7ff "ü'),
        (b'[1e308, -1.7976931348623157e308, 1e-999]', [1e308, -1.7976931348623157e308, 0.0]),
        (b'{"__type__": 1}', {'__type__': 1}),
    ],
)
def test_a_good_body_is_a_payload(body: bytes, payload: Any) -> None:
    """White space around, bare values and paired surrogates are fine."""
    assert payload_of(body) == payload


def hostile() -> dict[str, bytes]:
    deep, digits = 100_000, b'9' * 1_000_000
    return {
        'arrays': b'[' * deep,
        'closed arrays': b'[' * deep + b']' * deep,
        'objects': b'{"a":' * deep,
        'integer': digits,
        'integers': b'[' + digits + b',-' + digits + b']',
        'escapes': b'["' + b'\\\\' * 500_000 + b'\\ud800"]',
        'keys': b'{' + b'"k":1,' * 100_000 + b'"k":1}',
        'different keys': b'{' + b','.join(b'"%d":1' % n for n in range(100_000)) + b',"7":1}',
        'quotes': b'"' * 1_000_000,
        'nan far on': b'[' + b'1,' * 150_000 + b'NaN]',
    }


@pytest.mark.parametrize('body', hostile().values(), ids=hostile().keys())
def test_a_hostile_body_is_refused_in_bounded_time_and_memory(body: bytes) -> None:
    """Depth, digits, escapes and repetition end as a PayloadError, at once, quoting next to nothing."""
    seconds, peak = cost(body)
    assert seconds < 1
    assert peak < 100 * 1024 * 1024
    assert len(fault(body)) < 140


def test_depth_and_digits_are_told_with_their_place() -> None:
    """The place is where the limit is passed."""
    assert 'holds too many levels, ending at character ' in fault(b'[' * 100_000)
    assert 'holds an integer of too many digits, ending at character 4302' in fault(
        b'[' + b'1' * 10_000 + b']'
    )


def test_a_flaw_far_into_a_long_body_is_told_without_its_place() -> None:
    """Finding it would take longer than it is worth."""
    assert fault(b'[' + b'1,' * 500_000 + b'NaN]') == 'the JSON body holds NaN, which is not JSON'


@pytest.fixture
def lifted() -> Iterator[None]:
    """A recursion limit beyond what the C stack is sure to bear."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(2 * codecs.MAX_DEPTH)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures('lifted')
def test_depth_is_limited_whatever_the_recursion_limit() -> None:
    """Brackets are counted, those in strings aside."""
    assert fault(b'[' * 10_001) == 'the JSON body holds too many levels, ending at character 10000'
    assert payload_of(b'[' + b'"[\\"[", [], ' * 5_000 + b'{}]')[-3:] == ['["[', [], {}]


LIFTED = """
import sys, threading
from greenmicro.codecs import decode
from greenmicro.errors import PayloadError
from greenmicro.messages import Message
sys.setrecursionlimit(10 ** 6)
if hasattr(sys, 'set_int_max_str_digits'):
    sys.set_int_max_str_digits(0)
def fault(body):
    try:
        return len(decode(Message(body, {'content_type': 'application/json'})))
    except PayloadError as error:
        return str(error)
print(fault(b'[' * 1_000_000))
print(fault(b'{"[[\\\\"": ' * 1_000_000))
print(fault(b'["[[", ' + b'[],' * 100_000 + b'{}]'))
print(fault(b'[' + b'1' * 1_000_000 + b']'))
print(fault(b'[' + b'1,' * 10_000 + b'1]'))
"""


def test_limits_hold_where_a_target_has_lifted_pythons_own() -> None:
    """With a recursion limit of a million and no limit of digits, bytes neither end nor stall the process."""
    run = subprocess.run(
        [sys.executable, '-c', LIFTED], capture_output=True, text=True, timeout=30, check=False
    )
    assert run.stderr == ''
    assert run.stdout.splitlines() == [
        'the JSON body holds too many levels, ending at character 10000',
        'the JSON body holds too many levels, ending at character 90000',
        '100002',
        'the JSON body holds an integer of too many digits, ending at character 4302',
        '10001',
    ]


@pytest.mark.parametrize(
    'body',
    [
        b'[1, 2 "' + b'secret' * 50 + b'"]',
        b'{"' + b'secret' * 50 + b'": 1, "' + b'secret' * 50 + b'": 2}',
        b'{"__type__": "date", "__value__": "' + b'secret' * 50 + b'"}',
        b'[1' + b'1' * 400 + b'.0]',
        b'["\\u0041' + b'secret' * 50 + b'\\ud800"]',
        '["\N{ZERO WIDTH SPACE}'.encode() * 100,
    ],
)
def test_little_of_a_body_is_quoted(body: bytes) -> None:
    """Bodies carry personal data; an error has at most some 40 characters of one."""
    text = fault(body)
    assert text.count('secret') <= 6
    assert len(text) < 160


@given(st.binary())
def test_no_bytes_raise_anything_but_a_payload_error(body: bytes) -> None:
    """Whatever the bytes, whatever the type: a payload or a PayloadError."""
    for properties in (
        JSON,
        {'content_type': 'text/plain'},
        {'content_type': 'application/json; charset=utf-16'},
    ):
        for headers in (
            {},
            {'compression': 'gzip'},
            {'compression': 'bz2'},
            {'compression': 'application/x-lzma'},
        ):
            try:
                decode(Message(body, properties, headers))
            except PayloadError:
                pass


TOKENS = [
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"a"',
    '"__type__"',
    '"__value__"',
    '"uuid"',
    '"date"',
    '"decimal"',
    '-1',
    '1e999',
]
TOKENS += ['NaN', 'null', '"\\ud800"', ' ', '"\\', '{"hex":"x"}', '{"__type__":"bytes","__value__":', '}']


@given(st.lists(st.sampled_from(TOKENS)))
def test_no_almost_json_raises_anything_but_a_payload_error(tokens: list[str]) -> None:
    """The same for what looks like JSON and like kombu's tags."""
    try:
        payload_of(''.join(tokens).encode())
    except PayloadError:
        pass


# ---- kombu's tags

TAGGED = [
    datetime.datetime(2024, 2, 29, 12, 30, 1, 5),
    datetime.datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
    datetime.date(2024, 2, 29),
    datetime.time(12, 30, 1, 5),
    decimal.Decimal('12.340'),
    uuid.UUID('0b5f7c1e-1e33-4c0e-9b61-7b8f3f0f1e77'),
    'über'.encode(),
    b'\xff\x00',
]


@pytest.mark.parametrize('value', TAGGED, ids=repr)
def test_kombu_and_we_understand_each_other(value: Any) -> None:
    """What kombu dumps we decode, what we encode kombu loads, and both to the same text."""
    payload = {'outer': [value]}
    assert payload_of(kombu_json.dumps(payload).encode()) == payload
    assert kombu_json.loads(encode(payload)[0]) == payload
    assert json.loads(encode(payload)[0]) == json.loads(kombu_json.dumps(payload))
    assert type(payload_of(encode(payload)[0])['outer'][0]) is type(value)


def test_an_unknown_tag_leaves_the_object_as_it_is() -> None:
    """Objects that only look tagged are data."""
    for tag in ('frob', 3, None, ['date'], {'a': 1}):
        payload = {'__type__': tag, '__value__': 1}
        assert payload_of(json.dumps(payload).encode()) == payload
    payload = {'__type__': 'date', '__value__': 'x', 'more': 1}
    assert payload_of(json.dumps(payload).encode()) == payload


@pytest.mark.parametrize(
    'value', ['\u00ff', 'no', '', 3, None, [], [[0, [1], 0]], {}, {'hex': 3}, {'hex': 'x'}]
)
@pytest.mark.parametrize('tag', ['datetime', 'date', 'time', 'decimal', 'uuid', 'base64'])
def test_a_known_tag_with_a_bad_value_is_a_fault(tag: str, value: Any) -> None:
    """Not what the tag says: told with the tag and where the object ends."""
    if (tag, value) == ('base64', ''):
        return
    body = json.dumps([{'__type__': tag, '__value__': value}]).encode()
    assert f'which is tagged as {tag} and is none, ending at character {len(body) - 1}' in fault(body)


def test_bytes_that_are_no_string_are_a_fault() -> None:
    """The tag of bytes carries text."""
    assert fault(b'{"__type__": "bytes", "__value__": 3}').startswith(
        'the JSON body holds int, which is tagged'
    )


# ---- compression


@pytest.mark.parametrize('name', ['gzip', 'zlib', 'bzip2', 'bzip', 'lzma', 'xz'])
def test_what_kombu_compressed_is_read(name: str) -> None:
    """By its content type, which is what kombu sends, and by kombu's aliases."""
    payload = {'numbers': list(range(1000))}
    body, content_type = kombu_compression.compress(json.dumps(payload).encode(), name)
    assert payload_of(body, compression=content_type) == payload
    assert payload_of(body, compression=name) == payload


def test_compressed_bytes_and_text_are_read() -> None:
    """Compression is undone for each content type; real gzip goes as gzip; an empty header is none."""
    assert payload_of(zlib.compress(b'\xff'), 'application/octet-stream', compression='zlib') == b'\xff'
    assert payload_of(gzip.compress(b'text'), 'text/plain', compression='gzip') == 'text'
    assert payload_of(b'text', 'text/plain', compression=None) == 'text'
    assert payload_of(zlib.compress(b''), 'text/plain', compression='zlib') == ''


COMPRESSORS = {'gzip': zlib.compress, 'bzip2': bz2.compress, 'xz': lzma.compress}


@pytest.mark.parametrize('name', COMPRESSORS)
@pytest.mark.parametrize('size', [codecs._CHUNK - 1, codecs._CHUNK, 2 * codecs._CHUNK])
def test_sizes_around_a_piece_are_read_whole(name: str, size: int) -> None:
    """What ends exactly with a piece ends."""
    body = COMPRESSORS[name](bytes(size))
    assert payload_of(body, 'application/octet-stream', compression=name) == bytes(size)


@pytest.mark.parametrize('name', COMPRESSORS)
def test_a_bomb_takes_the_cap_and_no_more(name: str) -> None:
    """Memory stays below twice the cap and it takes less than a second."""
    bomb = {'gzip': zlib.compressobj, 'bzip2': bz2.BZ2Compressor, 'xz': lzma.LZMACompressor}[name]()
    body = b''.join(bomb.compress(bytes(1 << 24)) for _ in range(5)) + bomb.flush()
    seconds, peak = cost(body, compression=name)
    assert seconds < 1
    assert peak < 2 * codecs.MAX_DECOMPRESSED
    assert fault(body, compression=name) == 'the body grows over 67108864 bytes when decompressed'


@pytest.mark.parametrize('name', COMPRESSORS)
def test_what_is_compressed_badly_is_a_fault(name: str) -> None:
    """Junk, a body that breaks off, and one with something after it."""
    body = COMPRESSORS[name](b'{}' * 1000)
    assert fault(b'junk, not compressed', compression=name).startswith(f'the body is not {name}: ')
    assert 'breaks off' in fault(body[:-9], compression=name)
    assert 'breaks off' in fault(b'', compression=name)
    assert '3 bytes follow its end' in fault(body + b'xyz', compression=name)


def test_an_lzma_dictionary_is_bounded() -> None:
    """A header that asks for gigabytes gets none."""
    header = b'\x5d' + (1 << 31).to_bytes(4, 'little') + b'\xff' * 8
    assert 'the body is not lzma: Memory usage limit exceeded' in fault(
        header + bytes(100), compression='lzma'
    )


@pytest.mark.parametrize('name', ['application/zstd', 'brotli', 'none', 3, ['gzip']])
def test_other_compressions_are_refused(name: Any) -> None:
    """What the standard library cannot undo is named."""
    assert refusal(b'{}', compression=name).startswith('the compression ')


def test_a_python_without_a_compression_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that was built without lzma says that it is not accepted."""
    monkeypatch.setitem(sys.modules, 'lzma', None)
    assert refusal(b'{}', compression='xz').startswith("the compression 'xz' is not accepted")


# ---- encoding

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.binary(),
    st.dates(),
    st.times(),
    st.datetimes(),
    st.uuids(),
    st.decimals(allow_nan=False),
)
PAYLOADS = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


@given(PAYLOADS)
def test_what_is_encoded_comes_back(payload: Any) -> None:
    """For every payload of what is possible."""
    body, content_type, encoding = encode(payload)
    assert decode(Message(body, {'content_type': content_type, 'content_encoding': encoding})) == payload


@given(PAYLOADS)
def test_what_kombu_encodes_comes_out_as_it_was(payload: Any) -> None:
    """And what we encode comes out of kombu."""
    assert payload_of(kombu_json.dumps(payload).encode()) == payload
    assert kombu_json.loads(encode(payload)[0]) == payload


def test_everything_is_json_a_bare_string_too() -> None:
    """The body nameko would send, but compact and in UTF-8."""
    assert encode('ü') == ('"ü"'.encode(), 'application/json', 'utf-8')
    assert encode({'a': (1, None)})[0] == b'{"a":[1,null]}'
    assert encode({1: 1, 1.5: 2, None: 3, False: 4})[0] == b'{"1":1,"1.5":2,"null":3,"false":4}'


class Money:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __json__(self) -> Any:
        if isinstance(self.inner, Exception):
            raise self.inner
        return self.inner


class Endless:
    def __json__(self) -> Any:
        return Endless()


class Stamp(datetime.datetime):
    pass


def test_objects_with_json_are_encoded_by_it() -> None:
    """As kombu does; subclasses of known types go as those."""
    assert encode([Money({'eur': decimal.Decimal(1)})])[0] == (
        b'[{"eur":{"__type__":"decimal","__value__":"1"}}]'
    )
    assert payload_of(encode(Stamp(2024, 1, 1))[0]) == datetime.datetime(2024, 1, 1)


def circular() -> list[Any]:
    inner: list[Any] = []
    inner.append({'up': [inner]})
    return inner


def deep(value: Any, levels: int) -> Any:
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ('payload', 'words'),
    [
        (
            {'items': [0, 1, 2, {'price': {1}}]},
            "payload['items'][3]['price'] (set): only dict, list, tuple, str",
        ),
        (object(), 'payload (object): only dict'),
        ([1.0, float('nan')], 'payload[1] (float): '),
        ([float('-inf')], 'payload[0] (float): '),
        ({'a': ('x', '\ud800')}, "payload['a'][1] (str): 'utf-8' codec can't encode"),
        ({'a': {'\ud800': 1}}, "payload['a'] (dict): 'utf-8' codec"),
        ({'a': {(1, 2): 1}}, "payload['a'] (dict): keys must be str"),
        ({'a': 10**5_000}, "payload['a'] (int): Exceeds the limit"),
        ([Money({'a': object()})], "payload[0]['a'] (object): only dict"),
        ([Money(ValueError('no rate'))], 'payload[0] (Money): no rate'),
        ([Money], 'payload[0] (type): '),
        (circular(), "payload[0]['up'][0] (list) contains itself"),
        (Endless(), 'is nested over 100 levels deep and not searched further: '),
        (deep(1, 50_000), 'payload[0][0][0]'),
        (deep({1}, 150), 'is nested over 100 levels deep and not searched further: only dict'),
        ({'k' * 500: {1}}, f"payload['{'k' * 39}] (set)"),
    ],
)
def test_what_cannot_be_encoded_is_told_with_its_path(payload: Any, words: str) -> None:
    """The error names the path to the element, its type and why."""
    text = encode_fault(payload)
    assert text.startswith('payload')
    assert words in text
    assert len(text) < 320


def test_an_error_that_comes_once_is_told_without_a_path() -> None:
    """Where the second look finds nothing wrong, the error speaks for itself."""
    answers = iter([ValueError('once'), 1])

    class Moody:
        def __json__(self) -> Any:
            answer = next(answers)
            if isinstance(answer, ValueError):
                raise answer
            return answer

    assert encode_fault([Moody()]) == 'payload: once'


def test_an_error_of_another_kind_from_the_users_json_is_the_users() -> None:
    """A `__json__` that fails for its own reasons is not wrapped."""
    with pytest.raises(LookupError, match='no rate'):
        encode(Money(LookupError('no rate')))


def test_the_codecs_import_lightly() -> None:
    """A child pays for datetime, decimal, uuid and base64 when a tag comes, not before."""
    source = 'import sys, greenmicro.codecs; print(*sys.modules)'
    run = subprocess.run([sys.executable, '-S', '-c', source], capture_output=True, text=True, check=True)
    heavy = {'uuid', 'decimal', 'datetime', 'base64', 'lzma', 'bz2', 'inspect', 'asyncio', 'kombu', 'gevent'}
    assert not heavy & set(run.stdout.split())
