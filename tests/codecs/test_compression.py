"""Compression: what kombu packed is read, and a bomb goes off under a cap."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sys
import zlib
from typing import Any

import pytest
from kombu import compression as kombu_compression

from greenmicro.codecs import MOST
from greenmicro.codecs.compression import CHUNK
from tests.codecs.bodies import cost, fault, payload_of, refusal


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
@pytest.mark.parametrize('size', [CHUNK - 1, CHUNK, 2 * CHUNK])
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
    assert peak < 2 * MOST
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
