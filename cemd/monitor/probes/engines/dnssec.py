"""DNSSEC: whether an answer is signed from a trust anchor down, or the absence of a name proved. Not whether a server
says so.

dnspython verifies one set of records against given keys; the chain of DS and DNSKEY from an anchor to the signer, and
what NSEC and NSEC3 records prove, is worked out here (RFC 4035, section 5; RFC 5155, section 8).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.node
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
from dns.rdatatype import RdataType

from cemd.monitor.probes.base import Missed, Reason

ROOT_ANCHORS = (
    ". DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    ". DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
)
"""Key-signing keys of the root zone, of 2017 and 2024, as IANA publishes them."""
_MOST_ITERATIONS = 500
"""NSEC3 hashes beyond it are not worth their computing (RFC 9276 lets a validator refuse)."""
_MOST_ZONES = 20

Ask = Callable[[dns.name.Name, RdataType], Awaitable[dns.message.Message]]
Keys = dict[dns.name.Name, dns.node.Node | dns.rdataset.Rdataset]


def checked_anchor(text: str) -> tuple[dns.name.Name, dns.rdata.Rdata]:
    """An anchor from its text.

    Raises:
        ValueError: it is no DS record.
    """
    try:
        owner, kind, rest = text.split(None, 2)
        record = dns.rdata.from_text(dns.rdataclass.IN, {"DS": RdataType.DS}[kind.upper()], rest)
        return dns.name.from_text(owner), record
    except (ValueError, KeyError, dns.exception.DNSException) as exc:
        raise ValueError(f"{text[:80]!r} is no DS record such as `example.org. DS 12345 13 2 ABCD…`") from exc


class Chain:
    """One validation; `ask` gets answers with signatures, `now` is the wall clock."""

    def __init__(self, ask: Ask, anchors: tuple[str, ...], now: float) -> None:
        self._ask = ask
        self._now = now
        self._anchors: dict[dns.name.Name, list[dns.rdata.Rdata]] = {}
        for owner, record in map(checked_anchor, anchors or ROOT_ANCHORS):
            self._anchors.setdefault(owner, []).append(record)
        self._keys: Keys = {}
        self._ends_at = float("inf")
        self._expanded: list[tuple[dns.name.Name, int, dns.name.Name]] = []
        """Names that a wildcard stands for, with the labels of what was signed, and the zone."""

    async def validate(self, answer: dns.message.Message, name: dns.name.Name, kind: RdataType) -> float:
        """When the first of the signatures ends (seconds since 1970).

        Raises:
            Missed: something is not signed, or wrongly, or does not prove what it should.
        """
        found = [rrset for rrset in answer.answer if rrset.rdtype != RdataType.RRSIG]
        for rrset in found:
            await self._verify(answer.answer, rrset)
        last = _end_of_aliases(found, name)
        if not any(rrset.name == last and rrset.rdtype == kind for rrset in found):
            await self._verify_absence(answer, last, kind)
        for expanded, labels, zone in list(self._expanded):
            await self._verify_expansion(answer, expanded, labels, zone)
        return self._ends_at

    async def _verify_expansion(
        self, answer: dns.message.Message, name: dns.name.Name, labels: int, zone: dns.name.Name
    ) -> None:
        """That a wildcard could stand for this name: there is none nearer (RFC 4035, section 5.3.4)."""
        proofs = [one for one in answer.authority if one.rdtype in {RdataType.NSEC, RdataType.NSEC3}]
        for one in proofs:
            await self._verify(answer.authority, one)
        nsec = [one for one in proofs if one.rdtype == RdataType.NSEC]
        if nsec:
            proved = _covered(nsec, name)
        else:
            proved = bool(proofs) and _Nsec3(proofs, zone).covers(name.split(labels + 2)[1])
        if not proved:
            raise Missed(Reason.SIGNATURE_INVALID, f"nothing proves that a wildcard may stand for {name}.")

    async def _verify(self, section: list[dns.rrset.RRset], rrset: dns.rrset.RRset) -> dns.name.Name:
        """Verifies one set of records; answers the zone that signed it."""
        signatures = [
            one
            for one in section
            if one.rdtype == RdataType.RRSIG and one.name == rrset.name and one.covers == rrset.rdtype
        ]
        if not signatures:
            raise Missed(Reason.SIGNATURE_INVALID, f"{_shown(rrset)} is not signed.")
        zone: dns.name.Name = signatures[0][0].signer
        if not rrset.name.is_subdomain(zone):
            raise Missed(Reason.SIGNATURE_INVALID, f"{_shown(rrset)} is signed by {zone}, a stranger.")
        keys = await self._keys_of(zone)
        self._check(rrset, signatures[0], keys)
        if (labels := min(one.labels for one in signatures[0])) < len(rrset.name.labels) - 1 - rrset.name.is_wild():
            self._expanded.append((rrset.name, labels, zone))
        return zone

    def _check(self, rrset: dns.rrset.RRset, signatures: dns.rrset.RRset, keys: Keys) -> None:
        try:
            dns.dnssec.validate(rrset, signatures, keys, None, self._now)
        except (dns.exception.DNSException, ValueError, KeyError) as exc:
            ended = [one for one in signatures if one.expiration < self._now]
            why = "its signature has ended" if len(ended) == len(signatures) else f"its signature is wrong ({exc})"
            raise Missed(Reason.SIGNATURE_INVALID, f"{_shown(rrset)}: {why}.") from exc
        self._ends_at = min(self._ends_at, max(float(one.expiration) for one in signatures))

    async def _keys_of(self, zone: dns.name.Name) -> Keys:
        """The keys of a zone, believed from an anchor down."""
        if zone in self._keys:
            return self._keys
        if len(self._keys) >= _MOST_ZONES:
            raise Missed(Reason.SIGNATURE_INVALID, "the chain of keys has no end.")
        trusted = self._anchors.get(zone) or await self._delegation(zone)
        answer = await self._ask(zone, RdataType.DNSKEY)
        keys = _find(answer.answer, zone, RdataType.DNSKEY)
        signatures = _find(answer.answer, zone, RdataType.RRSIG, RdataType.DNSKEY)
        if keys is None or signatures is None:
            raise Missed(Reason.SIGNATURE_INVALID, f"{zone} has no signed keys.")
        entry = [key for key in keys if any(_matches(zone, key, one) for one in trusted)]
        if not entry:
            raise Missed(
                Reason.SIGNATURE_INVALID, f"no key of {zone} is the one that its parent, or the anchor, names."
            )
        self._check(keys, signatures, {zone: dns.rrset.from_rdata_list(zone, keys.ttl, entry)})
        self._keys[zone] = keys
        return self._keys

    async def _delegation(self, zone: dns.name.Name) -> list[dns.rdata.Rdata]:
        """The DS records with which the parent names the keys of a zone."""
        if zone == dns.name.root:
            raise Missed(Reason.SIGNATURE_INVALID, "no trust anchor is above the zone that signed.")
        answer = await self._ask(zone, RdataType.DS)
        records = _find(answer.answer, zone, RdataType.DS)
        if records is None:
            raise Missed(Reason.SIGNATURE_INVALID, f"the parent of {zone} names no key for it: it is not secure.")
        signatures = _find(answer.answer, zone, RdataType.RRSIG, RdataType.DS)
        parent = signatures[0].signer if signatures is not None else zone
        if not zone.is_subdomain(parent) or parent == zone:
            raise Missed(Reason.SIGNATURE_INVALID, f"the DS records of {zone} are not signed by its parent.")
        await self._verify(answer.answer, records)
        return list(records)

    async def _verify_absence(self, answer: dns.message.Message, name: dns.name.Name, kind: RdataType) -> None:
        """That there is no such name, or no such type: by signed NSEC or NSEC3 records of its zone."""
        proofs = [one for one in answer.authority if one.rdtype in {RdataType.NSEC, RdataType.NSEC3}]
        zones = [await self._verify(answer.authority, one) for one in proofs]
        if not proofs:
            raise Missed(Reason.SIGNATURE_INVALID, f"nothing proves that {name} has no {dns.rdatatype.to_text(kind)}.")
        exists = answer.rcode() != dns.rcode.NXDOMAIN
        zone = zones[0]
        nsec = [one for one in proofs if one.rdtype == RdataType.NSEC]
        proved = (
            _nsec_proves(nsec, name, kind, exists=exists) if nsec else _Nsec3(proofs, zone).proves(name, kind, exists)
        )
        if not proved:
            what = f"no {dns.rdatatype.to_text(kind)}" if exists else "no existence"
            raise Missed(Reason.SIGNATURE_INVALID, f"the signed records do not prove that {name} has {what}.")


def _find(
    section: list[dns.rrset.RRset], name: dns.name.Name, kind: RdataType, covers: RdataType = RdataType.NONE
) -> dns.rrset.RRset | None:
    return next((one for one in section if one.name == name and one.rdtype == kind and one.covers == covers), None)


def _end_of_aliases(found: list[dns.rrset.RRset], name: dns.name.Name) -> dns.name.Name:
    """The name to which CNAME records of the answer lead."""
    for _ in range(len(found) + 1):
        alias = _find(found, name, RdataType.CNAME)
        if alias is None:
            return name
        name = alias[0].target
    raise Missed(Reason.ANSWER_UNEXPECTED, "the aliases of the answer go in a circle.")


def _matches(zone: dns.name.Name, key: dns.rdata.Rdata, digest: dns.rdata.Rdata) -> bool:
    """Whether a DS record names this key."""
    if dns.dnssec.key_id(key) != digest.key_tag or key.algorithm != digest.algorithm:  # type: ignore[arg-type, attr-defined]
        return False
    try:
        made = dns.dnssec.make_ds(zone, key, digest.digest_type, validating=True)  # type: ignore[attr-defined]
    except (dns.exception.DNSException, ValueError):
        return False
    return bool(made.digest == digest.digest)  # type: ignore[attr-defined]


def _has_type(record: dns.rdata.Rdata, kind: int) -> bool:
    """Whether the type stands in the bitmap of an NSEC or NSEC3 record."""
    for window, bitmap in record.windows:  # type: ignore[attr-defined]
        if window == kind >> 8:
            place = (kind & 0xFF) >> 3
            return place < len(bitmap) and bool(bitmap[place] & (0x80 >> (kind & 7)))
    return False


def _nsec_proves(proofs: list[dns.rrset.RRset], name: dns.name.Name, kind: RdataType, *, exists: bool) -> bool:
    covering = [(one.name, one[0].next) for one in proofs]
    matching = [one for one in proofs if one.name == name]
    if matching:
        record = matching[0][0]
        return exists and not _has_type(record, kind) and not _has_type(record, RdataType.CNAME)
    if not _covered(proofs, name):
        return False
    closest = max(
        (name.split(depth)[1] for depth in range(len(name.labels)) for owner, following in covering
         if _above(name.split(depth)[1], owner) or _above(name.split(depth)[1], following)),
        key=lambda one: len(one.labels), default=None,
    )  # fmt: skip
    if closest is None:
        return False
    wildcard = dns.name.from_text("*", closest)
    if exists:  # a wildcard is there, without the type; or the name is one between others (an empty one)
        at_wildcard = [one for one in proofs if one.name == wildcard]
        between = any(following.is_subdomain(name) for _, following in covering)
        return between or (bool(at_wildcard) and not _has_type(at_wildcard[0][0], kind))
    return _covered(proofs, wildcard)


def _covered(proofs: list[dns.rrset.RRset], name: dns.name.Name) -> bool:
    """Whether an NSEC record says that there is nothing of this name; the last of a zone points to its first."""
    for one in proofs:
        owner, following = one.name, one[0].next
        if (owner < name < following) if owner < following else (owner < name and name.is_subdomain(following)):
            return True
    return False


def _above(ancestor: dns.name.Name, name: dns.name.Name) -> bool:
    return name.is_subdomain(ancestor)


class _Nsec3:
    """What a set of NSEC3 records of one zone proves."""

    def __init__(self, proofs: list[dns.rrset.RRset], zone: dns.name.Name) -> None:
        self._zone = zone
        self._records: dict[bytes, Any] = {one.name.labels[0].upper(): one[0] for one in proofs}
        first = next(iter(self._records.values()))
        self._salt, self._iterations, self._algorithm = first.salt, first.iterations, first.algorithm
        if self._iterations > _MOST_ITERATIONS:
            raise Missed(Reason.SIGNATURE_INVALID, f"{zone} wants {self._iterations} rounds of hashing; too many.")

    def proves(self, name: dns.name.Name, kind: RdataType, exists: bool) -> bool:
        matching = self._matching(name)
        if matching is not None:
            return exists and not _has_type(matching, kind) and not _has_type(matching, RdataType.CNAME)
        closest = name
        while self._matching(closest) is None:
            if closest == self._zone or closest == dns.name.root:
                return False
            closest = closest.parent()
        next_closer = name.split(len(closest.labels) + 1)[1]
        covering = self._covering(next_closer)
        if covering is None:
            return False
        wildcard = dns.name.from_text("*", closest)
        if exists:
            at_wildcard = self._matching(wildcard)
            opted_out = kind == RdataType.DS and bool(covering.flags & 1)
            return opted_out or (at_wildcard is not None and not _has_type(at_wildcard, kind))
        return self._covering(wildcard) is not None

    def covers(self, name: dns.name.Name) -> bool:
        """Whether a record says that there is nothing of this name."""
        return self._covering(name) is not None

    def _hash(self, name: dns.name.Name) -> bytes:
        return dns.dnssec.nsec3_hash(name, self._salt, self._iterations, self._algorithm).upper().encode()

    def _matching(self, name: dns.name.Name) -> Any | None:
        return self._records.get(self._hash(name))

    def _covering(self, name: dns.name.Name) -> Any | None:
        wanted = self._hash(name)
        for owner, record in self._records.items():
            following: bytes = record._next_text().upper().encode()  # noqa: SLF001
            if (owner < wanted < following) if owner < following else (wanted > owner or wanted < following):
                return record
        return None


def _shown(rrset: dns.rrset.RRset) -> str:
    return f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)}"
