"""A chunk gives back what went in, or says that it is damaged; never other numbers."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import zstandard
from cemd.errors import StoreError
from cemd.store.chunk import Columns, decoded, encoded
from cemd.store.packing import packed, unpacked
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pcodec import ChunkConfig, standalone


def columns(count: int) -> Columns:
    rng = np.random.default_rng(1)
    at = np.sort(rng.integers(0, 3_600_000, count)).astype(np.int64)
    return Columns(at, rng.normal(size=count), rng.integers(0, 4, count).astype(np.uint8))


@given(data=st.data(), count=st.integers(1, 130))
@settings(max_examples=60)
def test_any_columns_come_back_bit_by_bit(data: st.DataObject, count: int) -> None:
    at = np.sort(data.draw(arrays.arrays(np.int64, count, elements=st.integers(0, 2**41))))
    value = data.draw(arrays.arrays(np.float64, count, elements=st.floats(allow_nan=True, width=64)))
    outcome = data.draw(arrays.arrays(np.uint8, count, elements=st.integers(0, 3)))
    back = decoded(encoded(Columns(at, value, outcome)), "here")
    assert back.at.tolist() == at.tolist()
    assert back.value.view(np.int64).tolist() == value.view(np.int64).tolist()
    assert back.outcome.tolist() == outcome.tolist()


def test_every_flipped_bit_is_noticed() -> None:
    blob = encoded(columns(40))
    for place in range(len(blob) * 8):
        broken = bytearray(blob)
        broken[place // 8] ^= 1 << place % 8
        with pytest.raises(StoreError, match=r"samples\.db: chunk 7"):
            decoded(bytes(broken), "samples.db: chunk 7")


@pytest.mark.parametrize("length", [0, 3, 12, 13, 60], ids=str)
def test_a_chunk_that_was_cut_off_is_noticed(length: int) -> None:
    with pytest.raises(StoreError, match="cemd restore"):
        decoded(encoded(columns(40))[:length], "samples.db: chunk 7")


def forged(count: int, times: bytes, values: bytes, form: int = 0x11) -> bytes:
    rest = struct.pack("<BII", form, count, len(times)) + times + values
    return zlib.crc32(rest).to_bytes(4, "little") + rest


def test_a_chunk_with_a_right_checksum_and_wrong_lengths_is_refused() -> None:
    short, long = (standalone.simple_compress(np.arange(n), ChunkConfig()) for n in (10, 5_000_000))
    values = standalone.simple_compress(np.arange(10.0), ChunkConfig())
    for blob in (
        forged(20, short, values),
        forged(10, long, values),
        forged(1 << 30, long, values),
        forged(0, b"", b""),
        forged(10, values, short),
        forged(10, short, values, form=0x21),
        forged(10, short, b""),
    ):
        with pytest.raises(StoreError, match="chunk 7"):
            decoded(blob, "samples.db: chunk 7")


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(64 * 2**20))
    assert len(bomb) < 10_000
    with pytest.raises(StoreError, match="claims 67108864 bytes"):
        unpacked(bomb, "samples.db", most=1000)
    unsized = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    with pytest.raises(StoreError, match=r"samples\.db"):
        unpacked(unsized, "samples.db")
    assert unpacked(packed(b"x" * 1000), "samples.db", most=1000) == b"x" * 1000
