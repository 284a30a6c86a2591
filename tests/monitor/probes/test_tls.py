"""tls against OpenSSL's own server: chains that are whole, broken, ended or short-lived; OCSP, protocols, ciphers."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason, Result
from cemd.monitor.probes.engines.handshake import LastChain
from cemd.monitor.protocols.certificates import BadStaple, bears, staple_ends_at
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import crypto

from tests.conftest import program
from tests.monitor import peers
from tests.monitor.peers import complaints, free_port, listening, look, tcp_server, tools, value
from tests.monitor.probes.contract import Contract
from tests.monitor.probes.test_http import context
from tests.monitor.programs import started

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass(slots=True)
class Member:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
        return self.key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_password)


def member(
    name: str,
    issuer: Member | None = None,
    *,
    days: float = 90,
    ca: bool = False,
    also: tuple[str, ...] = (),
    signs_ocsp: bool = False,
) -> Member:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = [x509.DNSName(one) for one in (name, *also)] if not ca and not signs_ocsp else []
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 400 * DAY)
        .not_valid_after(NOW + days * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if signs_ocsp:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
    return Member(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def staple(
    leaf: Member,
    issuer: Member,
    *,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    days: float = 3,
    by: Member | None = None,
) -> bytes:
    """An OCSP answer, signed by the issuer or by somebody else, whose certificate goes with it."""
    answer = ocsp.OCSPResponseBuilder().add_response(
        cert=leaf.certificate,
        issuer=issuer.certificate,
        algorithm=hashes.SHA256(),
        cert_status=status,
        this_update=NOW - 10 * DAY,
        next_update=NOW + days * DAY,
        revocation_time=NOW - DAY if status is ocsp.OCSPCertStatus.REVOKED else None,
        revocation_reason=None,
    )
    signer = by or issuer
    answer = answer.responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
    if by is not None:
        answer = answer.certificates([by.certificate])
    return answer.sign(signer.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@dataclass(slots=True)
class House:
    """A root, an intermediate and a leaf, and a server that shows them."""

    folder: Path
    root: Member
    middle: Member
    leaf: Member

    @contextlib.asynccontextmanager
    async def served(
        self, *more: str, chain: tuple[Member, ...] | None = None, ocsp_answer: bytes = b""
    ) -> AsyncIterator[int]:
        port, path = free_port(), program("openssl")
        assert path is not None
        for name, data in {
            "root.pem": self.root.pem(),
            "leaf.pem": self.leaf.pem(),
            "leaf.key": self.leaf.key_pem(),
            "chain.pem": b"".join(one.pem() for one in (chain if chain is not None else (self.middle,))),
            "staple.der": ocsp_answer,
        }.items():
            (self.folder / name).write_bytes(data)
        words = ["s_server", "-accept", f"127.0.0.1:{port}", "-quiet"]
        words += ["-cert", self._at("leaf.pem"), "-key", self._at("leaf.key")]
        words += ["-cert_chain", self._at("chain.pem")] if chain != () else []
        words += ["-status_file", self._at("staple.der")] if ocsp_answer else []
        async with started(path, *words, *more):
            await listening(port)
            yield port

    def _at(self, name: str) -> str:
        return str(self.folder / name)

    async def seen(self, port: int, **params: Any) -> Result:
        async with tools() as made:
            given_ = {"host": "127.0.0.1", "port": port, "tls_name": "portal.example", "ca_file": self._at("root.pem")}
            return await look(made, "tls", given_ | params)


def house(folder: Path, *, middle_days: float = 200, leaf_days: float = 90) -> House:
    root = member("Root", days=3000, ca=True)
    middle = member("Middle", root, days=middle_days, ca=True)
    leaf = member("portal.example", middle, days=leaf_days, also=("*.shop.example",))
    return House(folder, root, middle, leaf)


async def contract(stack: contextlib.AsyncExitStack, _secret_file: str) -> Contract:
    folder = Path(_secret_file).parent
    files = house(folder)
    port = await stack.enter_async_context(peers.http_server(lambda _: None, ssl_context=_context_of(files)))
    number = int(port.rpartition(":")[2])
    hang = await stack.enter_async_context(tcp_server(peers.hang))
    trusted = {"host": "127.0.0.1", "tls_name": "portal.example", "ca_file": str(folder / "root.pem")}
    return Contract(
        good={**trusted, "port": number},
        failing={**trusted, "port": number, "tls_name": "other.example"},
        hanging={**trusted, "port": hang},
    )


def _context_of(files: House) -> Any:
    (files.folder / "root.pem").write_bytes(files.root.pem())
    (files.folder / "whole.pem").write_bytes(files.leaf.pem() + files.middle.pem())
    (files.folder / "leaf.key").write_bytes(files.leaf.key_pem())
    return context((files.folder / "whole.pem", files.folder / "leaf.key"))


@pytest.mark.needs("openssl")
async def test_whole_chain_is_seen_and_the_end_of_each_member_told(tmp_path: Path) -> None:
    made = house(tmp_path)
    async with made.served() as port:
        good = await made.seen(port, names=["a.shop.example"], chain_days=60)
        wrong = await made.seen(port, names=["a.b.shop.example"])
        soon = await made.seen(port, chain_days=120)
        own = await made.seen(port, certificate_days=120)
    assert good.outcome is Outcome.OK, good.detail
    assert "2 certificates" in good.detail
    assert value(good, "chain_expiry_days") == pytest.approx(90, abs=0.1)
    ends = {one.labels: one.value for one in good.readings if one.metric == "member_expiry_days"}
    assert [round(ends[("member", str(n)),]) for n in (0, 1)] == [90, 200]
    assert wrong.detail == ("the certificate is not for a.b.shop.example; it bears portal.example, *.shop.example.")
    assert {one.reason for one in (wrong, soon, own)} == {Reason.CERTIFICATE_INVALID}
    assert "portal.example) ends in 90.0 days" in soon.detail


@pytest.mark.needs("openssl")
async def test_what_is_wrong_is_told_by_the_member_that_it_concerns(tmp_path: Path) -> None:
    made = house(tmp_path, middle_days=-3)
    async with made.served() as port:
        ended = await made.seen(port)
    async with made.served(chain=()) as port:
        alone = await made.seen(port)
    stranger = member("Stranger", days=3000, ca=True)
    (tmp_path / "stranger.pem").write_bytes(stranger.pem())
    async with made.served() as port:
        untrusted = await made.seen(port, ca_file=str(tmp_path / "stranger.pem"))
        nowhere = await made.seen(port, ca_file=str(tmp_path / "nowhere.pem"))
    assert "certificate 1 of the chain (Middle): it has ended" in ended.detail
    assert value(ended, "chain_expiry_days") == pytest.approx(-3, abs=0.1)
    assert value(ended, "certificate_expiry_days") == pytest.approx(90, abs=0.1)
    assert "issuer" in alone.detail
    assert {one.reason for one in (ended, alone, untrusted)} == {Reason.CERTIFICATE_INVALID}
    assert (nowhere.outcome, nowhere.reason) == (Outcome.BLIND, Reason.NO_TRUST)


@pytest.mark.needs("openssl")
async def test_protocols_and_ciphers_are_held_against_what_is_right(tmp_path: Path) -> None:
    made = house(tmp_path)
    async with made.served("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256") as port:
        right = await made.seen(port, protocols=["TLSv1.2"], ciphers=["ECDHE-ECDSA-AES128-GCM-SHA256"])
        version = await made.seen(port, protocols=["TLSv1.3"])
        suite = await made.seen(port, ciphers=["TLS_AES_256_GCM_SHA384"])
    async with made.served("-tls1", "-cipher", "ALL:@SECLEVEL=0") as port:
        refused = await made.seen(port)
        old = await made.seen(port, protocols=["TLSv1"])
    assert right.outcome is Outcome.OK, right.detail
    assert {one.reason for one in (version, suite)} == {Reason.ANSWER_UNEXPECTED}
    assert "speaks TLSv1.2" in version.detail
    assert refused.reason is Reason.TLS_FAILED
    assert old.outcome is Outcome.OK, old.detail


@pytest.mark.needs("openssl")
async def test_stapled_ocsp_must_vouch_for_the_certificate(tmp_path: Path) -> None:
    made = house(tmp_path)
    async with made.served(ocsp_answer=staple(made.leaf, made.middle)) as port:
        good = await made.seen(port, stapled_ocsp=True)
    async with made.served(ocsp_answer=staple(made.leaf, made.middle, status=ocsp.OCSPCertStatus.REVOKED)) as port:
        revoked = await made.seen(port)
    async with made.served() as port:
        missing = await made.seen(port, stapled_ocsp=True)
    assert good.outcome is Outcome.OK, good.detail
    assert value(good, "ocsp_expiry_days") == pytest.approx(3, abs=0.1)
    assert revoked.reason is Reason.CERTIFICATE_INVALID
    assert "says revoked" in revoked.detail
    assert "staples no OCSP" in missing.detail


@pytest.mark.needs("openssl")
async def test_staple_is_verified_though_the_server_does_not_show_the_issuer_or_shows_it_late(tmp_path: Path) -> None:
    made = house(tmp_path)
    short = dataclasses.replace(made, middle=made.root, leaf=member("portal.example", made.root))
    forger = member("Root", ca=True)
    async with short.served(chain=(), ocsp_answer=staple(short.leaf, short.root)) as port:
        good = await short.seen(port, stapled_ocsp=True)
    async with short.served(chain=(), ocsp_answer=staple(short.leaf, forger)) as port:
        forged = await short.seen(port)
    async with made.served(chain=(made.root, made.middle), ocsp_answer=staple(made.leaf, made.middle)) as port:
        shuffled = await made.seen(port, stapled_ocsp=True)
    assert good.outcome is Outcome.OK, good.detail
    assert (forged.outcome, forged.reason) == (Outcome.FAILED, Reason.CERTIFICATE_INVALID)
    assert "not signed by the issuer" in forged.detail
    assert shuffled.outcome is Outcome.OK, shuffled.detail


def test_staples_that_do_not_vouch_are_told_apart(tmp_path: Path) -> None:
    made = house(tmp_path)
    other, now = member("other.example", made.middle), NOW.timestamp()
    appointed = member("Answers for Middle", made.middle, signs_ocsp=True)
    answer = staple(made.leaf, made.middle, by=appointed)
    assert staple_ends_at(answer, made.leaf.certificate, made.middle.certificate, now) == pytest.approx(
        now + 3 * 86_400, abs=2
    )
    cases = {
        "another certificate": staple(other, made.middle),
        "not of today": staple(made.leaf, made.middle, days=-1),
        "not signed by": staple(made.leaf, made.middle, by=other),
        "not signed by the issuer": staple(
            made.leaf, made.middle, by=member("Once Appointed", made.middle, signs_ocsp=True, days=-1)
        ),
        "cannot be read": b"\x30\x03hey",
        "unauthorized": ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED).public_bytes(
            serialization.Encoding.DER
        ),
    }
    with pytest.raises(BadStaple, match="issuer is not known"):
        staple_ends_at(answer, made.leaf.certificate, None, now)
    for words, answer in cases.items():
        with pytest.raises(BadStaple, match=words):
            staple_ends_at(answer, made.leaf.certificate, made.middle.certificate, now)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_of_staples_raise_anything_else(data: bytes) -> None:
    with pytest.raises(BadStaple):
        staple_ends_at(data, _LEAF.certificate, None, NOW.timestamp())


_LEAF = member("leaf.example", also=("*.shop.example", "*.co"))


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("leaf.example", True),
        ("LEAF.example.", True),
        ("a.shop.example", True),
        ("shop.example", False),
        ("a.b.shop.example", False),
        ("leaf.co", False),
        ("127.0.0.1", False),
        ("bücher.shop.example", True),
    ],
)
def test_names_are_matched_by_whole_labels(name: str, right: bool) -> None:
    assert bears(_LEAF.certificate, name) is right


async def test_peer_without_tls_and_one_that_ends_early_fail() -> None:
    async def end(reader: Any, writer: Any) -> None:
        await reader.read(10)
        writer.close()

    async with tcp_server(peers.echo) as port, tools() as made:
        spoke = await look(made, "tls", {"host": "127.0.0.1", "port": port})
    async with tcp_server(end) as port, tools() as made:
        ended = await look(made, "tls", {"host": "127.0.0.1", "port": port})
    assert {(one.outcome, one.reason) for one in (spoke, ended)} == {(Outcome.FAILED, Reason.TLS_FAILED)}


async def test_one_context_serves_all_probes_of_a_trust_set(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_bytes(member("Root", ca=True).pem())
    async with tools() as made:
        contexts = {id(made.handshakes.context(str(tmp_path / "root.pem"), old_protocols=False)) for _ in range(50)}
        assert len(contexts) == 1
        (tmp_path / "root.pem").write_bytes(member("Renewed root", ca=True).pem() * 2)
        assert id(made.handshakes.context(str(tmp_path / "root.pem"), old_protocols=False)) not in contexts


def test_empty_list_of_protocols_is_refused_at_load() -> None:
    assert "at least one version" in complaints("tls", {"host": "192.0.2.1", "protocols": []})


def test_chain_is_read_anew_when_it_was_renewed_and_only_then() -> None:
    first, renewed = ([crypto.X509.from_cryptography(member("portal.example").certificate)] for _ in range(2))
    shown = [*first]

    class Shown:
        class connection:  # noqa: N801 -- as OpenSSL's is called
            get_peer_cert_chain = staticmethod(lambda: list(shown))

    last = LastChain()
    before = last.read(Shown)  # type: ignore[arg-type]
    assert last.read(Shown) is before  # type: ignore[arg-type]
    shown[:] = renewed
    assert last.read(Shown) == [renewed[0].to_cryptography()]  # type: ignore[arg-type]
    shown.clear()
    assert last.read(Shown) == []  # type: ignore[arg-type]
