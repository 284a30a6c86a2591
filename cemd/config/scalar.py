"""What a plain word of YAML means in version 1.2: nothing, truth, number, or text.

Only `~` and `null`, `true` and `false`, and what is a number by the letter of 1.2 are not texts: `no`, `1:30`,
`2026-01-01` and `1_000` stay what they look like.
"""

from __future__ import annotations

import re

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_DIGITS_MOST = 400  # Python refuses to read whole numbers of more than 4,300 digits


def resolved(text: str) -> str | int | float | bool | None:
    """What a plain scalar means in YAML 1.2.

    Raises:
        ValueError: a number that is not finite or does not fit in 64 bits.
    """
    match text:
        case "" | "~" | "null":
            return None
        case "true":
            return True
        case "false":
            return False
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text):
        number = int(text, _base(text)) if len(text) <= _DIGITS_MOST else None
        if number is None or not -(2**63) <= number < 2**63:
            raise ValueError("the whole number does not fit in 64 bits")
        return number
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("the number is not finite")
    if _FLOAT.fullmatch(text):
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise ValueError("the number is too large")
        return value
    return text


def _base(text: str) -> int:
    return {"0o": 8, "0x": 16}.get(text[:2], 10)
