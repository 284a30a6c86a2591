"""Numbers with their nouns, as a person writes them."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 customer`, `2 customers`, `1,200 policies`.

    Args:
        number: How many.
        noun: What one of them is called.
        plural: Where it is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
