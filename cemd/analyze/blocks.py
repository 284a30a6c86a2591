"""Blocks of a snapshot: named bytes behind a version, compressed with zstd. No pickle, no code, same bits back."""

from __future__ import annotations

import msgspec
import zstandard

from cemd.errors import StoreError

VERSION = 1


class _Block(msgspec.Struct, frozen=True):
    version: int
    parts: dict[str, bytes]


def pack(parts: dict[str, bytes]) -> bytes:
    return zstandard.compress(msgspec.msgpack.encode(_Block(VERSION, parts)), 1)


def unpack(name: str, block: bytes) -> dict[str, bytes]:
    """The parts of a block.

    Raises:
        StoreError: the block is damaged, or written by a newer cemd.
    """
    try:
        held = msgspec.msgpack.decode(zstandard.decompress(block), type=_Block)
    except (zstandard.ZstdError, msgspec.DecodeError) as exc:
        raise StoreError(f"snapshot block {name!r} cannot be read ({exc}); restore samples.db from a backup.") from exc
    if held.version > VERSION:
        raise StoreError(
            f"snapshot block {name!r} has version {held.version}, this cemd reads up to {VERSION}; update it."
        )
    return held.parts
