"""`targets`: where probes may go; refusals at load with place and remedy."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import pytest
from cemd.config.load import load
from cemd.config.targets import Targets, remedy
from cemd.daemon.kinds import kinds
from cemd.errors import ConfigError
from hypothesis import given
from hypothesis import strategies as st

SERVICES = "services:\n  - {name: web, function: portal, domain: it, platform: nginx}\n"
PROBE = """\
probes:
  - {{name: p, kind: {kind}, service: web, every_seconds: 9, timeout_seconds: 2,
     params: {params}}}
"""
LOOPBACK = "measure another address, or allow it with `targets: {loopback: true}` in config/cemd.yaml"
LINK_LOCAL = "measure another address, or allow it with `targets: {link_local: true}` in config/cemd.yaml"
ALLOW = "add it to `targets.allow` in config/cemd.yaml, or measure another"


@pytest.mark.parametrize(
    ("targets", "host", "address", "fact"),
    [
        (Targets(), "192.0.2.1", "192.0.2.1", None),
        (Targets(), "2001:db8::1", "2001:db8::1", None),
        (Targets(), "127.0.0.1", "127.0.0.1", "127.0.0.1 is on loopback"),
        (Targets(), "innocent.example", "127.8.8.8", "127.8.8.8 is on loopback"),
        (Targets(), "::1", "::1", "::1 is on loopback"),
        (Targets(), "::ffff:127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1 is on loopback"),
        (Targets(), "0.0.0.0", "0.0.0.0", "0.0.0.0 is on loopback"),  # noqa: S104 -- where Linux takes this, too
        (Targets(), "::", "::", ":: is on loopback"),
        (Targets(), "169.254.169.254", "169.254.169.254", "169.254.169.254 is link-local"),
        (Targets(), "fe80::1%eth0", "fe80::1%eth0", "fe80::1 is link-local"),
        (Targets(), "224.0.0.1", "224.0.0.1", "224.0.0.1 is no address of one host"),
        (Targets(loopback=True, link_local=True), "ff02::1", "ff02::1", "ff02::1 is no address of one host"),
        (Targets(), "255.255.255.255", "255.255.255.255", "255.255.255.255 is no address of one host"),
        (Targets(loopback=True), "127.0.0.1", "127.0.0.1", None),
        (Targets(link_local=True), "fe80::1%eth0", "fe80::1%eth0", None),
        (Targets(allow=("10.0.0.0/8",)), "10.1.2.3", "10.1.2.3", None),
        (Targets(allow=("10.0.0.0/8",)), "192.0.2.1", "192.0.2.1", "192.0.2.1 is not in `targets.allow`"),
        (Targets(allow=("10.0.0.0/8",)), "a.example", "192.0.2.1", "a.example (192.0.2.1) is not in `targets.allow`"),
        (Targets(allow=("*.example",)), "A.example.", "192.0.2.1", None),
        (Targets(allow=("*.example",)), "example", "192.0.2.1", "example (192.0.2.1) is not in `targets.allow`"),
        (
            Targets(allow=("*.example",)),
            "bad-example",
            "192.0.2.1",
            "bad-example (192.0.2.1) is not in `targets.allow`",
        ),
        (Targets(allow=("a.example",)), "a.example", "127.0.0.1", "127.0.0.1 is on loopback"),
        (Targets(allow=("127.0.0.0/8",)), "127.0.0.1", "127.0.0.1", "127.0.0.1 is on loopback"),
        (Targets(allow=("2001:db8::/32",)), "2001:db8::1", "2001:db8::1", None),
        (Targets(allow=("2001:db8::/32",)), "10.0.0.1", "10.0.0.1", "10.0.0.1 is not in `targets.allow`"),
    ],
)
def test_address_policy(targets: Targets, host: str, address: str, fact: str | None) -> None:
    assert targets.refusal(host, address) == fact
    if fact is not None:
        assert len(remedy(fact)) > 20


@given(
    st.lists(st.integers(0, 2**16 - 1).map(lambda n: f"10.{n >> 8}.{n & 255}.0/24"), max_size=20),
    st.lists(st.integers(8, 32).map(lambda n: f"10.0.0.0/{n}"), max_size=3),
    st.integers(0, 2**24 - 1),
)
def test_list_allows_just_what_one_of_its_networks_holds(some: list[str], more: list[str], number: int) -> None:
    address = ipaddress.ip_address((10 << 24) + number)
    targets = Targets(allow=tuple(some + more))
    held = any(address in ipaddress.ip_network(network) for network in some + more)
    assert (targets.refusal(str(address), str(address)) is None) is (held or not targets.allow)


@pytest.mark.parametrize(
    ("settings", "kind", "params", "fault", "cure"),
    [
        (
            "",
            "tcp",
            "{host: 127.0.0.1, port: 9}",
            'probes/p.yaml:3:21: probe "p": 127.0.0.1 is on loopback',
            LOOPBACK,
        ),
        (
            "",
            "http",
            '{url: "http://localhost:80/"}',
            'probes/p.yaml:3:20: probe "p": localhost is on loopback',
            LOOPBACK,
        ),
        (
            "",
            "icmp",
            "{target: 169.254.169.254}",
            'probes/p.yaml:3:23: probe "p": 169.254.169.254 is link-local',
            LINK_LOCAL,
        ),
        (
            "targets: {allow: [10.0.0.0/8]}",
            "dns",
            "{server: 192.0.2.53, name: a.example}",
            'probes/p.yaml:3:23: probe "p": 192.0.2.53 is not in `targets.allow`',
            ALLOW,
        ),
        (
            "targets: {allow: ['*.example.net']}",
            "tcp",
            "{host: www.example.org, port: 80}",
            'probes/p.yaml:3:21: probe "p": www.example.org is not in `targets.allow`',
            ALLOW,
        ),
        (
            "",
            "transaction",
            '{steps: [{name: a, http: {get: "http://127.0.0.1:8/"}}]}',
            'probes/p.yaml:3:23: probe "p": 127.0.0.1 is on loopback',
            LOOPBACK,
        ),
        (
            "",
            "transaction",
            '{steps: [{name: a, http: {get: "http://192.0.2.1/"}}], cleanup: [{name: b, http: {delete: "http://[::1]/"}}]}',
            'probes/p.yaml:3:79: probe "p": ::1 is on loopback',
            LOOPBACK,
        ),
    ],
    ids=["loopback", "localhost", "link-local", "allow", "name", "transaction", "clean-up"],
)
def test_probe_that_may_not_go_there_is_refused_at_load(
    tmp_path: Path, settings: str, kind: str, params: str, fault: str, cure: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(_root(tmp_path, settings, kind, params), kinds())
    assert str(refused.value) == f"{fault}; {cure}"


@pytest.mark.parametrize(
    ("settings", "params"),
    [
        ("targets: {loopback: true}", "{host: 127.0.0.1, port: 9}"),
        ("targets: {allow: ['*.example.net', 10.0.0.0/8]}", "{host: www.example.org, port: 80}"),  # known at run time
        ("targets: {allow: ['*.example.net']}", "{host: www.example.net, port: 80}"),
    ],
)
def test_allowed_probe_loads(tmp_path: Path, settings: str, params: str) -> None:
    assert load(_root(tmp_path, settings, "tcp", params), kinds()).warnings == ()


def test_place_that_is_none_is_refused_with_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config/cemd.yaml:1:19: targets: .*'10.0.0.1/8' is neither a network"):
        load(_root(tmp_path, "targets: {allow: [10.0.0.1/8]}", "tcp", "{host: 10.0.0.1, port: 80}"), kinds())


@pytest.mark.parametrize(
    ("kind", "params", "seconds"),
    [
        ("icmp", "{target: 192.0.2.1, packets: 11, gap_seconds: 0.2}", "2"),
        ("stamp", "{host: 192.0.2.1, packets: 101, gap_seconds: 0.05}", "5"),
        ("voice", "{host: 192.0.2.1, call_seconds: 10}", "10"),
    ],
)
def test_packets_that_take_longer_than_the_timeout_are_refused_at_load(
    tmp_path: Path, kind: str, params: str, seconds: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(_root(tmp_path, "", kind, params), kinds())
    fact = f"timeout_seconds (2) is not above the {seconds} s that its packets take to send"
    remedy = "make the timeout longer, or send fewer packets or faster"
    assert re.fullmatch(rf'probes/p.yaml:2:\d+: probe "p": {re.escape(f"{fact}; {remedy}")}', str(refused.value))


def _root(root: Path, settings: str, kind: str, params: str) -> Path:
    files = {
        "config/cemd.yaml": settings + "\n",
        "config/catalogue/s.yaml": SERVICES,
        "probes/p.yaml": PROBE.format(kind=kind, params=params),
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root
