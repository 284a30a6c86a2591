"""Reading the files of a reload in a process of its own, so that whoever is watched meanwhile does not feel it.

Fifty thousand probes take seconds of interpreter to read and check. A child does that, `python -m cemd.daemon.reading`,
and what comes back is the document of the epoch, what changed in words, and the configuration in pieces: entries that
are as they were are named by their place in the one before, so only what changed is made anew here, beside the loop.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import BinaryIO, TypeAlias

import msgspec

from cemd.config.configuration import Configuration, Pieces, from_pieces, pieces_of
from cemd.daemon.kinds import kinds
from cemd.daemon.reload import Accepted, read
from cemd.errors import CemdError, ConfigError, Fault
from cemd.kit.parent import end_with_parent, environment
from cemd.store.sqlite import open_state_readers

READ_SECONDS = 1800.0
"""A reading that lasts longer than this hangs: files on a disk that does not answer."""
NICENESS = 5
_LENGTH = 8


class Read(msgspec.Struct, frozen=True, kw_only=True, tag="read"):
    """A configuration that may take effect; `pieces` differ from the epoch that the child was told of."""

    author: str
    hash: str
    warnings: tuple[str, ...]
    changes: tuple[str, ...]
    pieces: Pieces


class Refusal(msgspec.Struct, frozen=True, kw_only=True, tag="refusal"):
    """Why nothing changes: faults with their places, or what is wrong with the state."""

    reason: str
    faults: tuple[Fault, ...] = ()


Answer: TypeAlias = Read | Refusal
_answer: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


async def read_apart(root: Path, state: Path, current: Configuration | None, *, epoch: str, author: str) -> Accepted:
    """As `reload.read`, by a child.

    Args:
        root: The folder that holds `config/`, `probes/` and `rules/`.
        state: The state directory.
        current: What is in effect, None: nothing yet.
        epoch: Its hash, which state.db knows.
        author: Who wants it.

    Raises:
        ConfigError: the files have faults; nothing changes.
        CemdError: they, or the state, could not be read; nothing changes.
    """
    with os.fdopen(os.memfd_create("cemd-reading"), "rb") as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cemd.daemon.reading", str(root), str(state), epoch if current else "", author),
            stdout=said.fileno(),
            env=environment(),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(READ_SECONDS):
                code = await process.wait()
        except TimeoutError as exc:
            raise CemdError(f"reading the files lasted longer than {READ_SECONDS:.0f} s; look at the disk.") from exc
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return await asyncio.to_thread(_accepted, said, code, current)


def _accepted(said: BinaryIO, code: int, current: Configuration | None) -> Accepted:
    """What the child wrote: length of the answer, the answer, and the document, which is not copied once more."""
    said.seek(0)
    size = int.from_bytes(said.read(_LENGTH), "big")
    try:
        answer = _answer.decode(said.read(size))
    except msgspec.DecodeError as exc:
        raise CemdError(f"the process that reads the files ended with code {code} and no answer; see above.") from exc
    if isinstance(answer, Refusal):
        raise ConfigError(answer.faults) if answer.faults else CemdError(answer.reason)
    return Accepted(
        configuration=from_pieces(answer.pieces, current or Configuration()),
        document=said.read(),
        hash=answer.hash,
        author=answer.author,
        warnings=answer.warnings,
        changes=answer.changes,
    )


def answer(root: Path, state: Path, epoch: str, author: str) -> tuple[Answer, bytes]:
    """What the files say, beside what `epoch` said ("": nothing was in effect), and its document."""
    try:
        rows = open_state_readers(state)
        before = rows.epoch(epoch) if epoch else None
        if epoch and before is None:
            return Refusal(reason=f"state.db does not hold epoch {epoch}, which is in effect; start cemd anew."), b""
        current = Configuration.from_document(before) if before else None
        accepted = read(root, kinds(), current, author=author, state=state, rows=rows)
    except ConfigError as exc:
        return Refusal(reason=str(exc), faults=exc.faults), b""
    except CemdError as exc:
        return Refusal(reason=str(exc)), b""
    said = Read(
        author=accepted.author,
        hash=accepted.hash,
        warnings=accepted.warnings,
        changes=accepted.changes,
        pieces=pieces_of(accepted.document, before or b"{}"),
    )
    return said, accepted.document


def _stand_back() -> None:
    """What is measured goes before what is read, whatever place in the line the daemon has."""
    try:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        os.nice(NICENESS)
    except OSError:
        pass  # some containers refuse; then it stands where the daemon does


def main() -> None:
    """The child: answers on what was its standard output, which nobody else can write to."""
    end_with_parent()
    _stand_back()
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        root, state, epoch, author = sys.argv[1:]
        said, document = answer(Path(root), Path(state), epoch, author)
        head = msgspec.msgpack.encode(said)
        out.writelines((len(head).to_bytes(_LENGTH, "big"), head, document))


if __name__ == "__main__":
    main()
