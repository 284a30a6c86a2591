"""dns against bind9 and dnsmasq: signed zones and what is wrong with them, flags, serials, disagreement, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cemd.kit.clock import ManualClock
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Reason, Result
from cemd.monitor.probes.engines.dns_comparison import serials_behind

from tests.conftest import program
from tests.monitor.peers import NameServer, complaints, free_port, listening, look, name_server, tools, value
from tests.monitor.probes.test_http import certificate
from tests.monitor.programs import free_udp_port, started

SOA = "@ 60 IN SOA ns a {serial} 60 60 60 60\n@ 60 IN NS ns\nns 60 IN A 127.0.0.1\n"


@dataclass(slots=True)
class Zones:
    """A name server with zones below a folder of its own."""

    folder: Path
    port: int = field(default_factory=free_udp_port)
    names: dict[str, Path] = field(default_factory=dict)

    def plain(self, name: str, text: str, serial: int = 1) -> None:
        file = self.folder / f"{name}.zone"
        file.write_text(SOA.format(serial=serial) + text)
        self.names[name] = file

    def signed(self, name: str, text: str, *how: str) -> str:
        """Signs a zone; answers its DS record."""
        self.plain(name, text)
        for key in ((), ("-f", "KSK")):
            self._run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", *key, name)
        out = self.folder / f"{name}.signed"
        self._run("dnssec-signzone", "-q", "-S", "-o", name, "-f", str(out), *how, str(self.names[name]))
        self.names[name] = out
        return (self.folder / f"dsset-{name}.").read_text().splitlines()[0].replace("\t", " ")

    def _run(self, *command: str) -> None:
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    @contextlib.asynccontextmanager
    async def served(self, more: str = "") -> AsyncIterator[int]:
        zones = "".join(f'zone "{name}" {{ type primary; file "{file}"; }};' for name, file in self.names.items())
        (self.folder / "named.conf").write_text(
            f'options {{ directory "{self.folder}"; listen-on port {self.port} {{ 127.0.0.1; }}; recursion no;'
            f'listen-on-v6 {{ none; }}; pid-file none; session-keyfile "{self.folder}/key"; dnssec-validation no;'
            f"{more} }}; controls {{ }}; {zones}"
        )
        path = program("named")
        assert path is not None
        async with started(path, "-g", "-n", "1", "-c", str(self.folder / "named.conf")):
            await listening(self.port)
            yield self.port


async def ask(port: int, **params: Any) -> Result:
    async with tools() as made:
        return await look(made, "dns", {"server": "127.0.0.1", "port": port, "recursion": False, **params})


# Signatures.


@pytest.fixture(params=["nsec", "nsec3"])
def zones(request: pytest.FixtureRequest, tmp_path: Path) -> Zones:
    made = Zones(tmp_path)
    how = () if request.param == "nsec" else ("-3", "abcd", "-H", "0")
    below = made.signed(
        "sub.lab.test", "host 60 IN A 192.0.2.1\nother 60 IN CNAME host\n*.wild 60 IN A 192.0.2.2\n", *how
    )
    below_ds = f"{below.split()[0]} 60 {' '.join(below.split()[1:])}\n"
    plain = "sub 60 IN NS ns\nbare 60 IN NS ns\n"
    (tmp_path / "anchor").write_text(made.signed("lab.test", plain + below_ds, *how))
    made.plain("bare.lab.test", "host 60 IN A 192.0.2.3\n")
    return made


@pytest.mark.needs("named")
async def test_signed_answers_and_proofs_of_absence_hold_from_the_anchor_down(zones: Zones) -> None:
    anchor = (zones.folder / "anchor").read_text()
    secure = {"dnssec": True, "trust_anchors": [" ".join(anchor.replace(" IN ", " ").split())]}
    async with zones.served() as port:
        host = await ask(port, name="host.sub.lab.test", answers=["192.0.2.1"], **secure)
        alias = await ask(port, name="other.sub.lab.test", min_answers=1, **secure)
        wild = await ask(port, name="any.wild.sub.lab.test", **secure)
        no_name = await ask(port, name="gone.sub.lab.test", rcode="NXDOMAIN", **secure)
        no_type = await ask(port, name="host.sub.lab.test", type="MX", min_answers=0, **secure)
        soon = await ask(port, name="host.sub.lab.test", signature_days=300, **secure)
        bare = await ask(port, name="host.bare.lab.test", **secure)
        wrong = [secure["trust_anchors"][0][:-2] + "00"]  # type: ignore[index]
        stranger = await ask(port, name="host.sub.lab.test", dnssec=True, trust_anchors=wrong)
    for result in (host, alias, wild, no_name, no_type):
        assert result.outcome is Outcome.OK, result.detail
    assert value(host, "signature_expiry_days") == pytest.approx(30, abs=1.5)
    assert (soon.outcome, soon.reason) == (Outcome.FAILED, Reason.SIGNATURE_INVALID)
    assert "not signed" in bare.detail
    assert (stranger.outcome, stranger.reason) == (Outcome.FAILED, Reason.SIGNATURE_INVALID)


@pytest.mark.needs("named")
async def test_changed_records_and_ended_signatures_are_found(tmp_path: Path) -> None:
    made = Zones(tmp_path)
    anchor = made.signed("lab.test", "host 60 IN A 192.0.2.1\n")
    signed = made.names["lab.test"]
    signed.write_text(signed.read_text().replace("192.0.2.1", "192.0.2.66"))
    params = {"server": "127.0.0.1", "port": made.port, "dnssec": True, "trust_anchors": [anchor.replace(" IN ", " ")]}
    async with made.served():
        async with tools() as lent:
            forged = await look(lent, "dns", {"name": "host.lab.test", **params})
        async with tools(clock=ManualClock(now=time.time() + 60 * 86_400.0)) as lent:
            ended = await look(lent, "dns", {"name": "ns.lab.test", **params})
    assert (forged.outcome, forged.reason) == (Outcome.FAILED, Reason.SIGNATURE_INVALID)
    assert "signature is wrong" in forged.detail
    assert (ended.outcome, ended.reason) == (Outcome.FAILED, Reason.SIGNATURE_INVALID)
    assert "ended" in ended.detail


# Flags, counts, times to live.


@pytest.mark.needs("named")
async def test_flags_counts_and_times_to_live_are_held_against_the_answer(tmp_path: Path) -> None:
    made = Zones(tmp_path)
    made.plain("lab.test", "host 60 IN A 192.0.2.1\nhost 60 IN A 192.0.2.2\n")
    async with made.served() as port:
        cases = {
            "fine": await ask(port, name="host.lab.test", flags=["authoritative"], max_answers=2, min_ttl_seconds=60),
            "flag": await ask(port, name="host.lab.test", flags=["authenticated"]),
            "many": await ask(port, name="host.lab.test", max_answers=1),
            "short": await ask(port, name="host.lab.test", min_ttl_seconds=61),
            "forbidden": await ask(port, name="host.lab.test", answers_absent=["192.0.2.2"]),
            "text": await ask(port, name="lab.test", type="NS", answers_absent=["ns.lab.test."]),
        }
    assert cases.pop("fine").outcome is Outcome.OK
    assert {one.reason for one in cases.values()} == {Reason.ANSWER_UNEXPECTED}
    assert "authenticated" in cases["flag"].detail
    assert "192.0.2.2" in cases["forbidden"].detail


# Several servers.


@pytest.mark.needs("named", "dnsmasq")
async def test_resolvers_that_disagree_are_named_with_what_they_say(tmp_path: Path) -> None:
    made = Zones(tmp_path)
    made.plain("lab.test", "host 60 IN A 192.0.2.1\nboth 60 IN A 192.0.2.9\n")
    other = program("dnsmasq")
    assert other is not None
    async with made.served() as port:
        records = ("--address=/host.lab.test/192.0.2.66", "--address=/both.lab.test/192.0.2.9")
        where = (f"--port={port}", "--listen-address=127.0.0.2", "--bind-interfaces", "--pid-file=")
        async with started(other, "-k", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", *where, *records):
            await until_asked("127.0.0.2", port)
            differ = await ask(port, name="host.lab.test", compare_with=["127.0.0.2"])
            agree = await ask(port, name="both.lab.test", compare_with=["127.0.0.2"])
            mute = await ask(port, name="both.lab.test", compare_with=["127.0.0.3"])
    assert (differ.outcome, differ.reason) == (Outcome.FAILED, Reason.ANSWERS_DIFFER)
    assert "127.0.0.2 says 192.0.2.66" in differ.detail
    assert value(differ, "disagreeing_count") == 1.0
    assert agree.outcome is Outcome.OK, agree.detail
    assert mute.reason is Reason.ANSWERS_DIFFER


async def until_asked(server: str, port: int) -> None:
    async with tools() as made:
        for _ in range(200):
            result = await look(made, "dns", {"server": server, "port": port, "name": "both.lab.test"}, seconds=1.0)
            if result.outcome is Outcome.OK:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(("lag", "reason"), [(0, Reason.ANSWERS_DIFFER), (3, Reason.ANSWERED)])
async def test_secondary_that_lags_is_told_by_its_serial(lag: int, reason: Reason) -> None:
    primary = {("lab.test.", "SOA"): ["ns.lab.test. a.lab.test. 7 60 60 60 60"]}
    async with name_server({("lab.test.", "SOA"): ["ns.lab.test. a.lab.test. 4 60 60 60 60"]}) as (_, port):
        loop = asyncio.get_running_loop()
        ahead = NameServer(primary)
        transport, _ = await loop.create_datagram_endpoint(lambda: ahead, local_addr=("127.0.0.2", port))
        try:
            params = {"type": "SOA", "compare_with": ["127.0.0.2"], "max_serials_behind": lag}
            result = await ask(port, name="lab.test", **params)
        finally:
            transport.close()
    assert result.reason is reason, result.detail
    assert value(result, "serial_behind_count") == 3.0


@pytest.mark.parametrize(
    ("mine", "other", "behind"),
    [(7, 7, 0), (7, 9, 2), (9, 7, 0), (4_294_967_295, 0, 1), (0, 4_294_967_295, 0), (0, 2_147_483_647, 2_147_483_647)],
)
def test_serials_go_round(mine: int, other: int, behind: int) -> None:
    assert serials_behind(mine, other) == behind


# TLS.


@pytest.mark.needs("named")
async def test_tls_is_verified_against_name_and_trust_set(tmp_path: Path) -> None:
    files, secure_port = certificate(tmp_path, days=20), free_port()
    made = Zones(tmp_path)
    made.plain("lab.test", "host 60 IN A 192.0.2.1\n")
    (tmp_path / "tls.conf").write_text(f'tls own {{ cert-file "{files[0]}"; key-file "{files[1]}"; }};')
    more = f"listen-on port {secure_port} tls own {{ 127.0.0.1; }};"
    text = (tmp_path / "tls.conf").read_text()
    async with made.served(more + f" }}; {text} acl unused {{ none;") as port:
        assert port
        await listening(secure_port)
        params = {"name": "host.lab.test", "transport": "tls", "ca_file": str(files[0])}
        good = await ask(secure_port, tls_name="localhost", **params)
        wrong_name = await ask(secure_port, **params)
        untrusted = await ask(secure_port, name="host.lab.test", transport="tls", tls_name="localhost")
        async with tools() as lent:
            plain = await look(lent, "dns", {"server": "127.0.0.1", "port": port, **params}, seconds=0.5)
    assert good.outcome is Outcome.OK, good.detail
    assert {one.reason for one in (wrong_name, untrusted)} == {Reason.CERTIFICATE_INVALID}
    assert plain.outcome in (Outcome.FAILED, Outcome.TIMED_OUT)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"tls_name": "x"}, "need `transport: tls`"),
        ({"signature_days": 3}, "need `dnssec: true`"),
        ({"dnssec": True, "trust_anchors": ["example. A 1"]}, "no DS record"),
        ({"max_serials_behind": 1}, "needs `type: SOA`"),
    ],
)
def test_contradictions_are_told_at_load(params: dict[str, Any], words: str) -> None:
    assert words in complaints("dns", {"server": "192.0.2.1", "name": "a.example", **params})
