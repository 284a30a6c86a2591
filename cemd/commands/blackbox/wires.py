"""What the keys of the probers `tcp`, `icmp` and `dns` are in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cemd.commands.blackbox.module import Module, host_and_port, ip_version, pattern_of, source_of, tls_of


def tcp(module: Module, target: str) -> tuple[str, dict[str, Any]]:
    host, port = host_and_port(module, target)
    params: dict[str, Any] = {"host": host, "port": port, **ip_version(module), **source_of(module)}
    turns = [turn for step in module.take("query_response") or [] for turn in _turns(module, dict(step))]
    if module.take("tls"):
        params["tls"] = "direct"
    if turns:
        params["dialogue"] = turns
    tls_config = module.part("tls_config")
    if "tls" in params:
        tls_of(tls_config, params, client=False)
    tls_config.say_left("tcp.tls_config.")
    return "tcp", params


def _turns(module: Module, step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A step there expects first and sends then, a line; the first group of what it heard may be sent as ${1}."""
    expect, send = step.pop("expect", None), step.pop("send", None)
    if step.pop("starttls", False):
        module.say("tcp.query_response: starttls is not carried over; give `tls` the name of the protocol")
    for key in step:
        module.say(f"tcp.query_response: {key} is not carried over")
    said = re.sub(r"\$\{?1\}?", "{heard}", send) if send is not None else ""
    if re.search(r"\$\{?\d", said):
        module.say("tcp.query_response: of what was heard the first group alone can be sent; correct the dialogue")
    if expect is not None:
        yield {"expect": f"(?m){pattern_of(module, expect)}", **({"take": "heard"} if "{heard}" in said else {})}
    if send is not None:
        yield {"send": said + "\n"}


def icmp(module: Module, target: str) -> tuple[str, dict[str, Any]]:
    params: dict[str, Any] = {"target": target, "packets": 1, **ip_version(module), **source_of(module)}
    if hops := module.take("ttl"):
        params["hop_limit"] = hops
    if size := module.take("payload_size"):
        params["payload_bytes"] = size
    if module.take("dont_fragment"):
        module.say("icmp.dont_fragment is not carried over")
    return "icmp", params


def dns(module: Module, target: str) -> tuple[str, dict[str, Any]]:
    host, _, port = target.partition(":") if target.count(":") == 1 else (target, "", "")
    params: dict[str, Any] = {"server": host, "name": module.take("query_name", "."), **ip_version(module)}
    params |= source_of(module)
    if port:
        params["port"] = int(port)
    params["type"] = module.take("query_type", "ANY")
    transport = module.take("transport_protocol", "udp")
    over_tls = module.take("dns_over_tls", False)
    params["transport"] = "tls" if over_tls else transport
    params["recursion"] = bool(module.take("recursion_desired", True))
    params["min_answers"] = 0
    if codes := module.take("valid_rcodes"):
        params["rcode"] = codes[0]
        if len(codes) > 1:
            module.say(f"dns.valid_rcodes: of {', '.join(codes)} the first alone is carried over")
    tls_config = module.part("tls_config")
    if over_tls:
        tls_of(tls_config, params, client=False)
    for key in ("validate_answer_rrs", "validate_authority_rrs", "validate_additional_rrs"):
        if module.take(key):
            module.say(f"dns.{key} is not carried over; give `answers` or `answers_absent`")
    return "dns", params
