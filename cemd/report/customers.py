"""Customers from a CSV file into columns: read as a stream, checked strictly, addresses sealed before anything else.

Header: `reference,site,services,segment,language,zone,email,sms,webhook,basis,preferred,flags`; services, basis and
flags are separated by `;`. Numbers come from the key store and are durable; addresses go there and nowhere else. A file
with faults is refused whole (nothing is stored), or its faulty rows are left out, as the caller asks.
"""

from __future__ import annotations

import array
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from zoneinfo import available_timezones

import numpy as np
from msgspec import structs

from cemd.config.topology import Topology
from cemd.errors import ConfigError, Fault
from cemd.model.customers import DIGEST_OF, ChannelKind, CustomerFlag, LawfulBasis
from cemd.model.entry import CustomersLoaded
from cemd.model.identity import stable_hash
from cemd.store.base import KeyStore

COLUMNS = {
    "reference": "the operator's own name of the customer; appears in no log",
    "site": "where the customer is served; a site of the catalogue",
    "services": "what the customer has: sold services, separated by ;",
    "segment": "any word, such as business",
    "language": "of the texts: en, de, pt-BR; empty: the operator's",
    "zone": "IANA time zone; empty: the site's, else the operator's",
    "email": "name@domain, or empty",
    "sms": "+491701234567, or empty",
    "webhook": "an https address, or empty",
    "basis": "what makes a message lawful: contract, legal_duty, vital_interest, consent; separated by ;",
    "preferred": "email, sms or webhook; empty: the order of the policy",
    "flags": "machine, abroad, unsubscribed, critical; separated by ;",
}
"""Columns of the file, in their order -> what they hold."""
HEADER = tuple(COLUMNS)
CHUNK = 50_000
MOST_FAULTS = 100
"""Faults told at once; a file with more of them is wrong as a whole."""
LONGEST_FIELD = 2_000

BASES = {basis.name.lower(): int(basis) for basis in LawfulBasis if basis.name}
FLAGS = {
    "machine": int(CustomerFlag.MACHINE),
    "abroad": int(CustomerFlag.ABROAD),
    "unsubscribed": int(CustomerFlag.UNSUBSCRIBED),
    "critical": int(CustomerFlag.CRITICAL),
}
KINDS = {"email": ChannelKind.EMAIL, "sms": ChannelKind.SMS, "webhook": ChannelKind.WEBHOOK}
_ADDRESS = {
    "email": (re.compile(r"[^\s@,;<>\"]{1,64}@[^\s@,;<>\"]{1,255}"), "write it as name@domain"),
    "sms": (re.compile(r"\+[1-9][0-9]{6,14}"), "write it in international form, +491701234567"),
    "webhook": (re.compile(r"https://[^\s]{1,1900}"), "write an https URL"),
}
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_LANGUAGE = re.compile(r"[a-z]{2}(-[A-Z]{2})?")


class Strictness(StrEnum):
    WHOLE = "whole"  # any fault refuses the file
    ROWS = "rows"  # faulty rows are left out


@dataclass(slots=True)
class Tables:
    """Names met so far; a code is a place in the list."""

    sites: list[str]
    services: list[str]
    segments: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)
    zones: list[str] = field(default_factory=list)
    codes: dict[tuple[str, str], int] = field(default_factory=dict)

    def code(self, kind: str, table: list[str], name: str) -> int:
        """Place of a name, which is added when new."""
        key = (kind, name)
        if key not in self.codes:
            self.codes[key] = len(table)
            table.append(name)
        return self.codes[key]


@dataclass(slots=True)
class Row:
    """One customer, parsed: codes and bits, and addresses that go no further than the key store."""

    reference: str
    values: tuple[int, ...]  # in the order of VALUES
    addresses: tuple[str, str, str]


VALUES = ("site", "services", "segment", "language", "zone", "basis", "channels", "preferred", "flags")
_DTYPES = {
    "site": np.uint16, "services": np.uint64, "segment": np.uint8, "language": np.uint8, "zone": np.uint16,
    "basis": np.uint8, "channels": np.uint8, "preferred": np.uint8, "flags": np.uint8,
}  # fmt: skip


class _Parser:
    """Turns records into rows; faults are gathered, at most `MOST_FAULTS`."""

    def __init__(self, path: Path, topology: Topology, operator_language: str) -> None:
        self._file = str(path)
        sold = [service.name for service in topology.services.values() if service.sold]
        self.tables = Tables(sites=list(topology.sites), services=sold)
        self._site = {name: place for place, name in enumerate(self.tables.sites)}
        self._service = {name: 1 << place for place, name in enumerate(sold)}
        self._language = operator_language
        self.faults: list[Fault] = []

    def fault(self, line: int, column: int, fact: str, remedy: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(self._file, line, column, fact, remedy))

    def row(self, line: int, record: Sequence[str]) -> Row | None:
        """The row, or None with its faults noted."""
        before = len(self.faults)
        if len(record) != len(HEADER):
            fact = f"the row has {len(record)} fields instead of {len(HEADER)}"
            self.fault(line, 1, fact, "write one field for each name of the header")
            return None
        cells = dict(zip(HEADER, (cell.strip() for cell in record), strict=True))

        def wrong(name: str, fact: str, remedy: str) -> None:
            place = HEADER.index(name)
            self.fault(line, 1 + sum(len(cell) + 1 for cell in record[:place]), fact, remedy)

        if not cells["reference"] or len(cells["reference"]) > 200:
            wrong("reference", "reference is empty or longer than 200 characters", "give the customer's own number")
        site = self._site.get(cells["site"])
        if site is None:
            fact = f"unknown site {cells['site'][:64]!r}" if cells["site"] else "no site is named"
            wrong("site", fact, "use a site of the catalogue (config/catalogue/*.yaml, under `sites:`)")
        services = self._bits(cells["services"], self._service, "services", wrong, "a sold service of the catalogue")
        basis = self._bits(cells["basis"], BASES, "basis", wrong, ", ".join(BASES))
        flags = self._bits(cells["flags"], FLAGS, "flags", wrong, ", ".join(FLAGS))
        segment = cells["segment"] or "default"
        if not _WORD.fullmatch(segment):
            wrong("segment", f"segment {segment[:64]!r} is no word", "use letters, digits, . _ -")
        language = cells["language"] or self._language
        if not _LANGUAGE.fullmatch(language):
            wrong("language", f"language {language[:64]!r} is none", "write it like en or de-AT")
        if cells["zone"] and cells["zone"] not in _zones():
            wrong("zone", f"unknown time zone {cells['zone'][:64]!r}", "use a name such as Europe/Berlin, or leave it")
        channels = self._channels(cells, wrong)
        preferred = 255
        if cells["preferred"]:
            kind = KINDS.get(cells["preferred"])
            if kind is None or not channels & (1 << kind):
                wrong("preferred", "preferred names no address of this row", "use email, sms or webhook, and give it")
            else:
                preferred = int(kind)
        if len(self.faults) > before or site is None or before >= MOST_FAULTS:
            return None
        tables = self.tables
        codes = (
            site,
            services,
            tables.code("segment", tables.segments, segment),
            tables.code("language", tables.languages, language),
            tables.code("zone", tables.zones, cells["zone"]),
            basis,
            channels,
            preferred,
            flags,
        )
        return Row(cells["reference"], codes, (cells["email"], cells["sms"], cells["webhook"]))

    def _bits(
        self, text: str, known: dict[str, int], name: str, wrong: Callable[[str, str, str], None], remedy: str
    ) -> int:
        bits = 0
        for word in filter(None, (part.strip() for part in text.split(";"))):
            if word in known:
                bits |= known[word]
            else:
                wrong(name, f"unknown {name} {word[:64]!r}", f"use {remedy}")
        return bits

    def _channels(self, cells: dict[str, str], wrong: Callable[[str, str, str], None]) -> int:
        bits = 0
        for name, (pattern, remedy) in _ADDRESS.items():
            if not cells[name]:
                continue
            if pattern.fullmatch(cells[name]):
                bits |= 1 << KINDS[name]
            else:  # the address itself is never shown: faults are printed and logged
                wrong(name, f"{name} is no such address", remedy)
        return bits


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def load_customers(
    path: Path,
    keys: KeyStore,
    topology: Topology,
    *,
    mark: str = "",
    strictness: Strictness = Strictness.WHOLE,
    on_faults: Callable[[Sequence[Fault]], None] = lambda _: None,
) -> Iterator[CustomersLoaded]:
    """Loads of at most `CHUNK` rows; the first one replaces. The last one alone carries `mark`, so that a load that was
    broken off is made again.

    Args:
        path: The file.
        keys: Gives numbers, and takes the addresses.
        topology: Knows sites and sold services.
        mark: Name of this content; default the path.
        strictness: What a fault does to the rest.
        on_faults: Told the faults of rows that were left out, before the last load.

    Raises:
        ConfigError: the file cannot be read, or has faults and the whole is wanted.
    """
    if strictness is Strictness.WHOLE and (faults := check_customers(path, topology)):
        raise ConfigError(faults)
    parser = _Parser(path, topology, topology.configuration.settings.operator.language)
    repeated = _repeated_lines(path)
    pending: list[Row] = []
    waiting: CustomersLoaded | None = None
    count = 0
    for line, record in _records(path):
        row = None if line in repeated else parser.row(line, record)
        if row is None:
            continue
        pending.append(row)
        if len(pending) == CHUNK:
            if waiting is not None:
                yield waiting
            waiting = _loaded(pending, keys, parser.tables, f"{mark or path} part {count}", replace=count == 0)
            pending, count = [], count + 1
    if waiting is not None and pending:
        yield waiting
    on_faults(parser.faults)
    if pending or waiting is None:
        last = _loaded(pending, keys, parser.tables, mark or str(path), replace=count == 0)
    else:
        last = structs.replace(waiting, source=mark or str(path))
    yield last


def check_customers(path: Path, topology: Topology) -> list[Fault]:
    """Every fault of the file, at most `MOST_FAULTS`; touches nothing."""
    parser = _Parser(path, topology, topology.configuration.settings.operator.language)
    try:
        rows = 0
        for line, record in _records(path):
            rows += 1
            parser.row(line, record)
            if len(parser.faults) >= MOST_FAULTS:
                return parser.faults
        for line in _repeated_lines(path):
            parser.fault(line, 1, "the reference stands in the file already", "keep one row for each customer")
    except ConfigError as exc:
        return [*parser.faults, *exc.faults]
    if not rows:
        parser.fault(2, 1, "the file has no customers", "add rows, or take the file out of cemd.yaml")
    for name, names, most in (
        ("sold services", parser.tables.services, 64),
        ("segments", parser.tables.segments, 255),
        ("languages", parser.tables.languages, 255),
    ):
        if len(names) > most:
            parser.fault(0, 0, f"more than {most} different {name}", "merge some")
    return parser.faults


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, fields) of every row after the header.

    Raises:
        ConfigError: no such file, not UTF-8, not CSV, or another header.
    """
    line = 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = tuple(name.strip() for name in next(reader, ()))
            if header != HEADER:
                fault = Fault(str(path), 1, 1, "the header is another one", f"write {','.join(HEADER)}")
                raise ConfigError([fault])
            for record in reader:
                started, line = line + 1, reader.line_num
                if record and any(len(cell) > LONGEST_FIELD for cell in record):
                    fault = Fault(str(path), started, 1, "a field is too long", f"keep it under {LONGEST_FIELD}")
                    raise ConfigError([fault])
                if record:
                    yield started, record
    except OSError as exc:
        fault = Fault(str(path), 0, 0, f"the file cannot be read ({exc.strerror})", "correct the path or its rights")
        raise ConfigError([fault]) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError([Fault(str(path), line, 1, "the file is not UTF-8", "save it as UTF-8")]) from exc
    except csv.Error as exc:
        raise ConfigError([Fault(str(path), line, 1, f"the row is no CSV ({exc})", "quote it rightly")]) from exc


def _repeated_lines(path: Path) -> dict[int, None]:
    """Lines whose reference stood in an earlier line; twelve bytes a row."""
    hashes, lines = array.array("Q"), array.array("L")
    for line, record in _records(path):
        hashes.append(stable_hash(record[0].strip()))
        lines.append(line)
    values = np.frombuffer(hashes, np.uint64) if hashes else np.zeros(0, np.uint64)
    order = np.argsort(values, kind="stable")
    again = order[1:][values[order[1:]] == values[order[:-1]]]
    return dict.fromkeys(lines[place] for place in sorted(again.tolist()))


def _loaded(rows: list[Row], keys: KeyStore, tables: Tables, source: str, *, replace: bool) -> CustomersLoaded:
    """One entry: numbers given, addresses sealed, digests in."""
    numbers = keys.numbers([row.reference for row in rows])
    columns = {
        name: np.array([row.values[place] for row in rows], dtype=_DTYPES[name]) for place, name in enumerate(VALUES)
    }
    columns["number"] = numbers.astype(np.uint32)
    for kind, name in DIGEST_OF.items():
        addresses = [row.addresses[int(kind)] for row in rows]
        columns[name] = np.asarray(keys.put_addresses(numbers.tolist(), int(kind), addresses), dtype=np.int64)
    return CustomersLoaded(
        source=source,
        replace=replace,
        sites=tuple(tables.sites),
        services=tuple(tables.services),
        segments=tuple(tables.segments),
        languages=tuple(tables.languages),
        zones=tuple(tables.zones),
        columns=columns,
    )
