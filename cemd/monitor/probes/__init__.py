"""How each kind of probe measures: one file a kind, one line in the table below, nothing about when or for whom.

A kind is handed its parameters, the prober's tools, a deadline and a log; it never sees the daemon, the store or
another probe. `make` turns a probe of the files into a kind, `faults` says all that is wrong with its parameters,
`parameter_schema` is what `cemd explain KIND` and `cemd schema` print. What fits no kind of its own is a `command`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import msgspec
from pydantic import ValidationError

from cemd.config.probes import Probe
from cemd.errors import ProbeUnavailable
from cemd.monitor.probes.base import Kind, Way
from cemd.monitor.probes.command import Command
from cemd.monitor.probes.diameter import Diameter
from cemd.monitor.probes.dns import Dns
from cemd.monitor.probes.http import Http
from cemd.monitor.probes.icmp import Icmp
from cemd.monitor.probes.imap import Imap
from cemd.monitor.probes.ldap import Ldap
from cemd.monitor.probes.mqtt import Mqtt
from cemd.monitor.probes.ntp import Ntp
from cemd.monitor.probes.radius import Radius
from cemd.monitor.probes.sip import Sip
from cemd.monitor.probes.smtp import Smtp
from cemd.monitor.probes.snmp import Snmp
from cemd.monitor.probes.ssh import Ssh
from cemd.monitor.probes.stamp import Stamp
from cemd.monitor.probes.tcp import Tcp
from cemd.monitor.probes.tls import Tls
from cemd.monitor.probes.tools import Tools
from cemd.monitor.probes.transaction import Transaction
from cemd.monitor.probes.udp import Udp
from cemd.monitor.probes.voice import Voice

KINDS: Mapping[str, type[Kind]] = MappingProxyType(
    {
        "command": Command,
        "diameter": Diameter,
        "dns": Dns,
        "http": Http,
        "icmp": Icmp,
        "imap": Imap,
        "ldap": Ldap,
        "mqtt": Mqtt,
        "ntp": Ntp,
        "radius": Radius,
        "sip": Sip,
        "smtp": Smtp,
        "snmp": Snmp,
        "ssh": Ssh,
        "stamp": Stamp,
        "tcp": Tcp,
        "tls": Tls,
        "transaction": Transaction,
        "udp": Udp,
        "voice": Voice,
    }
)


def faults(probe: Probe) -> list[tuple[tuple[str | int, ...], str]]:
    """Everything wrong with a probe's kind and parameters: (way into the probe's mapping, sentence); [] when right."""
    found: list[tuple[tuple[str | int, ...], str]] = []
    if probe.timeout_seconds >= probe.every_seconds:
        found.append(
            (
                ("timeout_seconds",),
                f"timeout_seconds ({probe.timeout_seconds:g}) must be below every_seconds ({probe.every_seconds:g})",
            )
        )
    kind = KINDS.get(probe.kind)
    if kind is None:
        return [*found, (("kind",), f"kind {probe.kind!r} is not known; known are {', '.join(sorted(KINDS))}")]
    try:
        kind.Params.model_validate_json(msgspec.json.encode(probe.params))
    except ValidationError as exc:
        found += [(("params", *fault["loc"]), _words(fault["msg"])) for fault in exc.errors(include_url=False)]
    return found


def hosts(kind: str, params: dict[str, Any]) -> tuple[tuple[Way, str], ...]:
    """(way to the parameter, host) of every place that such a probe goes to; () where kind or parameters are wrong."""
    if kind not in KINDS:
        return ()
    try:
        return KINDS[kind].Params.model_validate_json(msgspec.json.encode(params)).hosts()
    except ValidationError:
        return ()  # said already, with its place


def make(probe: Probe, tools: Tools) -> Kind:
    """The kind that measures a probe.

    Raises:
        ProbeUnavailable: kind or parameters are not known here (an older agent, say); `faults` names them all.
    """
    wrong = faults(probe)
    if wrong:
        raise ProbeUnavailable(f'probe "{probe.name}": {"; ".join(words for _, words in wrong)}.')
    kind = cast(Any, KINDS[probe.kind])
    return cast(Kind, kind(kind.Params.model_validate_json(msgspec.json.encode(probe.params)), tools))


def libraries_of(kind: Kind) -> tuple[str, ...]:
    """Modules that a kind loads at its first use: so that no run pays for it, `load_libraries` loads them before."""
    found: tuple[str, ...] = getattr(kind, "libraries", ())
    return found


def parameter_schema(kind: str) -> dict[str, Any]:
    """JSON Schema of a kind's parameters, with the help of each field.

    Raises:
        KeyError: there is no such kind.
    """
    return KINDS[kind].Params.model_json_schema()


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")
