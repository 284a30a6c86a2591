"""Customers of the small operator: people, their households, and the file that says who they are today."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from cemd.model.customers import COLUMNS, CustomerFlag, LawfulBasis
from cemd.model.entry import CustomersLoaded
from cemd.model.identity import stable_hash
from cemd.simulation.fakes import entropy
from cemd.simulation.operator import SOLD

ZONES = ("Europe/Berlin", "Asia/Tokyo", "America/Lima", "")


def customer_file(count: int, chance: random.Random) -> CustomersLoaded:
    """As it is today: a few people move, change their mind, or share an address."""
    number = np.arange(count, dtype="<u4")
    if chance.random() < 0.5:  # some have left
        number = number[np.array([chance.random() > 0.05 for _ in range(count)], bool)]
    rows = [_person(int(person), chance) for person in number]
    columns: dict[str, Any] = {name: np.array([row[name] for row in rows], dtype) for name, dtype in COLUMNS.items()}
    return CustomersLoaded(
        source="customers.csv",
        replace=True,
        sites=("east", "west", ""),
        services=SOLD,
        segments=("private", "business"),
        languages=("en", "de"),
        zones=ZONES,
        columns={"number": number, **columns},
    )


def _person(number: int, chance: random.Random) -> dict[str, int]:
    """Site and services stay with the number; the rest is as the file says today. Some families share a place, what
    they use, and an address."""
    fixed, family = entropy(number, "person"), entropy(number // 2, "family")
    shares = family.random() < 0.3
    site, services = (family if shares else fixed).randrange(3), 1 + (family if shares else fixed).randrange(31)
    mail = f"family{number // 2}@example.test" if shares else f"{number}@example.test"
    flags = int(CustomerFlag.PRESENT)
    for flag, share in (
        (CustomerFlag.MACHINE, 0.05),
        (CustomerFlag.CRITICAL, 0.02),
    ):
        flags |= int(flag) if fixed.random() < share else 0
    flags |= int(CustomerFlag.ABROAD) if chance.random() < 0.12 else 0
    flags |= int(CustomerFlag.UNSUBSCRIBED) if chance.random() < 0.05 else 0
    bases = (
        0,
        int(LawfulBasis.CONTRACT),
        int(LawfulBasis.CONTRACT | LawfulBasis.VITAL_INTEREST),
        int(LawfulBasis.CONSENT),
    )
    channels = fixed.choice((0, 1, 2, 3, 3, 3))
    return {
        "site": site,
        "services": services,
        "segment": fixed.randrange(2),
        "language": fixed.randrange(2),
        "zone": fixed.randrange(len(ZONES)),
        "basis": fixed.choices(bases, (1, 6, 6, 1))[0],
        "channels": channels,
        "preferred": fixed.choice((0, 1, 255)),
        "flags": flags,
        "digest_email": _digest(mail) if channels & 1 else 0,
        "digest_sms": _digest(f"+49{number}") if channels & 2 else 0,
        "digest_webhook": 0,
    }


def _digest(address: str) -> int:
    return stable_hash(address) >> 1
