"""zstd for blobs, safe to use from threads and against bombs: a frame must declare its size, and it is bounded."""

from __future__ import annotations

import threading

import zstandard

from cemd.errors import StoreError

MOST_BYTES = 1 << 30
_local = threading.local()


def packed(data: bytes) -> bytes:
    """The data as one zstd frame that declares its size (level 1)."""
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=1)  # not thread-safe: one per thread
    frame: bytes = _local.compressor.compress(data)
    return frame


def unpacked(frame: bytes, place: str, most: int = MOST_BYTES) -> bytes:
    """What `packed` took.

    Raises:
        StoreError: damaged, or it declares no size or more than `most` bytes; `place` begins the sentence.
    """
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    try:
        declared = zstandard.get_frame_parameters(frame).content_size
        if declared > most:  # an undeclared size is the largest number there is
            raise StoreError(f"{place}: a blob claims {declared} bytes, more than {most}; restore it from a backup.")
        data: bytes = _local.decompressor.decompress(frame)
    except zstandard.ZstdError as exc:
        raise StoreError(f"{place}: a blob cannot be unpacked ({exc}); restore it from a backup.") from exc
    return data
