"""Dialogues: turns of saying and hearing, with limits, as `tcp` and `udp` take them from the files."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from cemd.monitor.probes.base import ProbeParams, Secrets, Text, read_secret


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern.encode())
    except re.error as exc:
        raise ValueError(f"is no regular expression ({exc})") from exc
    return pattern


Pattern = Annotated[Text, AfterValidator(_compiles)]
Hex = Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{2} ?)+$", max_length=8192)]
ValueName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
TurnName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
_MOST_TAKEN = 1_024
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class Turn(ProbeParams):
    """Something said, something expected, or both in this order."""

    name: TurnName = ""
    """Label of the turn's seconds; default: its number, from 1."""
    send: Text | None = None
    r"""Text that is sent; `\r\n` in double quotes is a line end, `{name}` a value of `secret_files`."""
    send_hex: Hex | None = None
    """Bytes that are sent, as hexadecimal digits; not together with `send`."""
    expect: Pattern | None = None
    """Regular expression that the answer must contain; `^` and `$` mean lines where it begins with `(?m)`."""
    reject: Pattern | None = None
    """Regular expression that must not come before `expect` does: ends the attempt at once, not at its deadline."""

    take: ValueName | None = None
    """Keeps the first group of `expect` (all of it where it has none) for `{name}` in later turns."""

    @model_validator(mode="after")
    def _says_or_hears(self) -> Turn:
        if self.send is not None and self.send_hex is not None:
            raise ValueError("`send` and `send_hex` exclude each other; give one")
        if self.send is None and self.send_hex is None and self.expect is None:
            raise ValueError("a turn needs `send`, `send_hex` or `expect`")
        if self.take is not None and self.expect is None:
            raise ValueError("`take` needs `expect`, from which it takes")
        if self.reject is not None and self.expect is None:
            raise ValueError("`reject` needs `expect`, for whose coming it waits")
        return self

    def placeholders(self) -> set[str]:
        """Names of the values that it sends."""
        return set(_PLACEHOLDER.findall(self.send or ""))

    def said(self, values: dict[str, str]) -> bytes | None:
        """The bytes to send, with values put in; None where nothing is said."""
        if self.send_hex is not None:
            return bytes.fromhex(self.send_hex)
        if self.send is None:
            return None
        return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), self.send).encode()


Turns = Annotated[tuple[Turn, ...], Field(max_length=50)]


def check_values(turns: tuple[Turn, ...], known: dict[str, Any]) -> None:
    """Every `{name}` of a dialogue must be a value of `secret_files`.

    Raises:
        ValueError: one is not.
    """
    names = set(known)
    for place, turn in enumerate(turns, 1):
        unknown = sorted(turn.placeholders() - names)
        names |= {turn.take} if turn.take else set()
        if unknown:
            words = ", ".join(f"{{{name}}}" for name in unknown)
            raise ValueError(f"turn {turn.name or place}: {words} is not in secret_files; add it there, or to `values`")


def read_values(files: dict[str, str], secrets: Secrets) -> dict[str, str]:
    """The values of `secret_files`, remembered as secrets.

    Raises:
        Blind: a file cannot be read.
    """
    values = {name: read_secret(path) for name, path in files.items()}
    secrets.texts += values.values()
    return values


class Heard:
    """A turn's patterns, compiled once."""

    def __init__(self, turn: Turn, number: int) -> None:
        self.turn = turn
        self.label = turn.name or str(number)
        self.expect = re.compile(turn.expect.encode()) if turn.expect is not None else None
        self.reject = re.compile(turn.reject.encode()) if turn.reject is not None else None

    def taken(self, heard: bytes) -> dict[str, str]:
        """What the turn keeps of what was heard up to the end of `expect`, as one line."""
        found = self.expect.search(heard) if self.expect is not None and self.turn.take is not None else None
        if found is None:
            return {}
        text = (found[1] if found.re.groups else found[0]) or b""
        return {str(self.turn.take): " ".join(text[:_MOST_TAKEN].decode("latin-1").split())}
