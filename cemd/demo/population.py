"""20,000 customers of DemoTelco, the same for the same seed, and who of them a fault hurts: the truth about audiences.

Addresses end in `.invalid`, which can belong to nobody. There are machines, people without a lawful basis or without
mail, people who unsubscribed, people abroad, and pairs that share an address: whoever must not be told is here to be
told wrongly.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cemd.demo.conditions import Fault
from cemd.demo.operator import HOMES, sold_on

CUSTOMERS = 20_000
SEGMENTS = ("prepaid", "family", "business", "wholesale")
FOREIGN_ZONES = ("Asia/Tokyo", "America/New_York", "Australia/Sydney")
SHARES = {"esim": 0.05, "roaming": 0.02, "top-up": 0.08}
"""Share of all customers who have these; small, so that their notices leave within seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    reference: str
    site: str
    services: tuple[str, ...]
    segment: str
    language: str
    zone: str
    bases: tuple[str, ...]
    email: str
    machine: bool = False
    abroad: bool = False
    unsubscribed: bool = False
    critical: bool = False

    @property
    def may_be_told(self) -> bool:
        """By contract and by mail, as DemoTelco's policy says."""
        return bool(self.email) and "contract" in self.bases and not self.machine and not self.unsubscribed


def people(count: int = CUSTOMERS, *, seed: int = 1) -> Iterator[Person]:
    """The population, in order of reference."""
    chance = random.Random(f"population {seed}")
    shared = ""
    for number in range(1, count + 1):
        own = f"c{number:06d}@mail.demotelco.invalid"
        machine = chance.random() < 0.03
        address = shared if shared and chance.random() < 0.01 else own  # a household with one address
        reachable = chance.random() >= 0.04
        yield Person(
            reference=f"C-{number:06d}",
            site=(site := chance.choice(HOMES)),
            services=_services(chance, site),
            segment=chance.choices(SEGMENTS, (45, 40, 13, 2))[0],
            language=chance.choices(("de", "en", "fr"), (60, 35, 5))[0],
            zone=chance.choice(FOREIGN_ZONES) if chance.random() < 0.02 else "",
            bases=chance.choices(
                (("contract", "consent"), ("contract",), ("consent",), ()),
                (40, 55, 3, 2),
            )[0],
            email=address if reachable else "",
            machine=machine,
            abroad=chance.random() < 0.02,
            unsubscribed=chance.random() < 0.02,
            critical=chance.random() < 0.002,
        )
        if reachable:
            shared = address


def _services(chance: random.Random, site: str) -> tuple[str, ...]:
    have = []
    if chance.random() < 0.75:
        have += ["mobile-data", "mobile-voice"]
    region = site.partition("-")[0]
    if region in ("east", "west") and (not have or chance.random() < 0.4):
        have.append(f"broadband-{region}")
    have += [service for service, share in SHARES.items() if chance.random() < share]
    return tuple(have or ["mobile-voice"])


def hurt_by(fault: Fault, everybody: Iterable[Person]) -> list[Person]:
    """Whoever has something by contract that fails with this fault, whether they may be told or not."""
    broken = set(sold_on(fault.service))
    return [person for person in everybody if not broken.isdisjoint(person.services)]


def expected_addresses(fault: Fault, everybody: Iterable[Person]) -> set[str]:
    """Addresses that must get exactly one first notice and one all-clear. An access network is a place: whoever lives
    there and is abroad now does not suffer."""
    by_place = fault.service.startswith("access-")
    told = (person for person in hurt_by(fault, everybody) if person.may_be_told)
    return {person.email for person in told if not (by_place and person.abroad)}


COLUMNS = ("reference", "site", "services", "segment", "language", "zone",
           "email", "sms", "webhook", "basis", "preferred", "flags")  # fmt: skip
FLAGS = ("machine", "abroad", "unsubscribed", "critical")


def write_csv(path: Path, everybody: Iterable[Person]) -> None:
    """The customer file as the operator's CRM would hand it over."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in everybody:
            flags = ";".join(flag for flag in FLAGS if getattr(one, flag))
            services, bases = ";".join(one.services), ";".join(one.bases)
            who = (one.reference, one.site, services, one.segment, one.language, one.zone)
            writer.writerow((*who, one.email, "", "", bases, "", flags))
