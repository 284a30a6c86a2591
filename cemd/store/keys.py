"""keys.db: who a customer number is. References, and addresses sealed under a key per person.

A person's key is wrapped by the master key, which is a file (or a credential of the service manager) and never in a
database. Erasing a person deletes the key, so that copies of the sealed addresses elsewhere are noise; number and keyed
digest of the reference stay as a tombstone, here and in the ledger of erasures beside the set, which a restore reads.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from numpy.typing import NDArray

from cemd.errors import StoreError
from cemd.store.digest import address_digest, reference_digest
from cemd.store.queries import SQL
from cemd.store.writer import Readers, Writer

MASTER_KEY = "master.key"
CREDENTIAL = "cemd-master-key"
LEDGER = "erasures.ledger"
NONCE_BYTES = 12


def master_key(directory: Path, *, exists: bool) -> bytes:
    """The 32 bytes under which everything personal stands.

    From the credential `cemd-master-key` where the service manager gives one, else from `master.key` in the state
    directory, made at the first start with mode 0600.

    Args:
        directory: The state directory.
        exists: keys.db exists already; then a missing key is an error, never replaced by a new one.

    Raises:
        StoreError: missing, unreadable, or not 32 bytes as 64 hexadecimal digits.
    """
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(given) / CREDENTIAL if given and (Path(given) / CREDENTIAL).exists() else directory / MASTER_KEY
    try:
        if not exists and not path.exists():
            _make(path)
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as exc:
        raise StoreError(
            f"{path}: the master key cannot be read ({exc}); without it no address can be opened: put the file back."
        ) from exc
    if len(key) != 32:
        raise StoreError(f"{path}: the master key has {len(key)} bytes instead of 32; put the right file back.")
    return key


def _make(path: Path) -> None:
    """Whole or not at all: a kill or a full disk must not leave half a key, which no later start would replace."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.write(file, os.urandom(32).hex().encode() + b"\n")
            os.fsync(file)
        finally:
            os.close(file)
        fresh.rename(path)
    except OSError as exc:
        fresh.unlink(missing_ok=True)
        raise StoreError(f"{path}: the master key cannot be written ({exc.strerror}); free space on the disk.") from exc


def derived(key: bytes, purpose: str) -> bytes:
    """A key for one purpose; the master key itself only wraps."""
    return hashlib.blake2b(purpose.encode(), key=key, digest_size=32).digest()


class SqliteKeys:
    def __init__(self, writer: Writer, readers: Readers, master: bytes, ledger: Path) -> None:
        self._writer = writer
        self._readers = readers
        self._wrap = derived(master, "wrap")
        self._digest = derived(master, "digest")
        self._ledger = ledger
        self._lock = threading.Lock()
        writer.call("keys.prove", self._prove)
        self._erase_again()

    def numbers(self, references: Sequence[str]) -> NDArray[np.uint32]:
        digests = [reference_digest(self._digest, reference) for reference in references]

        def work(connection: sqlite3.Connection) -> list[int]:
            following: int = connection.execute(SQL["person_next"]).fetchone()[0]
            found: dict[bytes, int] = {}
            fresh: list[tuple[int, bytes, str]] = []
            for digest, reference in zip(digests, references, strict=True):
                if digest in found:
                    continue
                row = connection.execute(SQL["person_by_digest"], (digest,)).fetchone()
                found[digest] = row[0] if row else following + len(fresh)
                if row is None:
                    fresh.append((found[digest], digest, reference))
            connection.executemany(SQL["person_put"], fresh)
            return [found[digest] for digest in digests]

        return np.array(self._writer.call("keys.numbers", work), np.uint32)

    def put_addresses(self, number: Sequence[int], kind: int, addresses: Sequence[str]) -> NDArray[np.int64]:
        rows = [(int(n), address.strip()) for n, address in zip(number, addresses, strict=True)]

        def work(connection: sqlite3.Connection) -> list[int]:
            return [self._put(connection, n, kind, address) for n, address in rows]

        return np.array(self._writer.call("keys.put_addresses", work), np.int64)

    def addresses(self, number: Sequence[int], kind: int) -> list[str | None]:
        with self._readers.reading() as connection:
            found = [connection.execute(SQL["address_get"], (int(n), kind)).fetchone() for n in number]
        return [
            None if row is None or row[0] is None else self._opened(row[0], row[1], int(n), kind)
            for n, row in zip(number, found, strict=True)
        ]

    def erase(self, number: int) -> None:
        def work(connection: sqlite3.Connection) -> bytes | None:
            found = connection.execute(SQL["person_digest"], (number,)).fetchone()
            _erase(connection, number)
            return found[0] if found else None

        digest = self._writer.call("keys.erase", work)
        if digest is not None:
            self._note(digest)

    def _put(self, connection: sqlite3.Connection, number: int, kind: int, address: str) -> int:
        person = connection.execute(SQL["person_get"], (number,)).fetchone()
        if person is None:
            raise StoreError(f"keys.db: customer number {number} was never given; ask for it with its reference first.")
        wrapped, erased = person
        if erased or not address:
            connection.execute(SQL["address_drop"], (number, kind))
            return 0
        digest = address_digest(self._digest, kind, address)
        if wrapped is None:
            key = AESGCM.generate_key(256)
            wrapped = aes_key_wrap(self._wrap, key)
            connection.execute(SQL["person_key_put"], (wrapped, number))
        else:
            key = self._unwrapped(wrapped, number)
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + AESGCM(key).encrypt(nonce, address.encode(), _bound_to(number, kind))
        connection.execute(SQL["address_put"], (number, kind, digest, sealed))
        return digest

    def _opened(self, wrapped: bytes, sealed: bytes, number: int, kind: int) -> str:
        key = AESGCM(self._unwrapped(wrapped, number))
        try:
            return key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(number, kind)).decode()
        except InvalidTag:
            raise self._damaged(number) from None

    def _unwrapped(self, wrapped: bytes, number: int) -> bytes:
        try:
            return aes_key_unwrap(self._wrap, wrapped)
        except InvalidUnwrap:
            raise self._damaged(number) from None

    def _damaged(self, number: int) -> StoreError:
        return StoreError(
            f"{self._readers.path}: the address of customer {number} fails its seal; "
            "stop cemd and put a backup in its place with `cemd restore`."
        )

    def _prove(self, connection: sqlite3.Connection) -> None:
        """A file made under another master key is refused before anything is sealed under the wrong one."""
        proof = hashlib.blake2b(b"cemd", key=derived(self._wrap, "proof"), digest_size=16).digest()
        found = connection.execute("SELECT proof FROM vault").fetchone()
        if found is None:
            connection.execute("INSERT INTO vault (one, proof) VALUES (1, ?)", (proof,))
        elif found[0] != proof:
            raise StoreError(f"{self._writer.path}: it was made under another master key; put that {MASTER_KEY} back.")

    def _note(self, digest: bytes) -> None:
        """One line a person, durable; no personal data: a keyed digest."""
        try:
            with self._lock, self._ledger.open("a", encoding="ascii") as file:
                file.write(digest.hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            raise StoreError(
                f"{self._ledger}: an erasure could not be noted ({exc.strerror}), but the person is erased; "
                "free space and erase the same person again."
            ) from exc

    def _erase_again(self) -> None:
        """After a restore: whoever was erased since the backup is erased in it."""
        try:
            lines = self._ledger.read_text(encoding="ascii").split()
        except OSError:
            return
        digests = [bytes.fromhex(line) for line in lines if len(line) == 32]

        def work(connection: sqlite3.Connection) -> None:
            for digest in digests:
                found = connection.execute(SQL["person_by_digest"], (digest,)).fetchone()
                if found is not None:
                    _erase(connection, found[0])

        if digests:
            self._writer.call("keys.erase_again", work)


def _erase(connection: sqlite3.Connection, number: int) -> None:
    connection.execute(SQL["address_erase"], (number,))
    connection.execute(SQL["person_erase"], (number,))


def _bound_to(number: int, kind: int) -> bytes:
    """A sealed address opens in its own row only."""
    return f"{number}.{kind}".encode()
