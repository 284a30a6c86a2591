"""What the keys of the probers `tcp`, `icmp` and `dns` are in our words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cemd.commands.blackbox.module import Module, host_and_port, ip_version, pattern_of, source_of, tls_of

_STARTTLS = {
    "postgres": re.compile(re.escape(bytes.fromhex("0000000804d2162f").decode("latin-1"))),
    "smtp": re.compile(r"\b[EH]E?HLO\b|\b220\b.*SMTP", re.IGNORECASE),
    "pop3": re.compile(r"\bSTLS\b", re.IGNORECASE),
    "ftp": re.compile(r"\bAUTH TLS\b", re.IGNORECASE),
    "xmpp": re.compile(r"<starttls"),
    "nntp": re.compile(r"\b382\b"),
    "imap": re.compile(r"\S STARTTLS\b", re.IGNORECASE),
}
"""What shows which protocol's STARTTLS a dialogue speaks before TLS begins; the first that fits."""


def tcp(module: Module, target: str) -> tuple[str, dict[str, Any]]:
    host, port = host_and_port(module, target)
    params: dict[str, Any] = {"host": host, "port": port, **ip_version(module), **source_of(module)}
    steps = [dict(step) for step in module.take("query_response") or []]
    if module.take("tls"):
        params["tls"] = "direct"
    if (begins := next((place for place, step in enumerate(steps) if step.get("starttls")), None)) is not None:
        if (protocol := _protocol(steps[: begins + 1])) is not None and "tls" not in params:
            params["tls"] = protocol
            steps = steps[begins + 1 :]
            module.say(f"what is said before starttls is left to `tls: {protocol}`, which speaks the protocol itself")
        else:
            module.say("tcp.query_response: starttls is not carried over; give `tls` the name of the protocol")
    if turns := [turn for step in steps for turn in _turns(module, step)]:
        params["dialogue"] = turns
    tls_config = module.part("tls_config")
    if "tls" in params:
        tls_of(tls_config, params, client=False)
    tls_config.say_left("tcp.tls_config.")
    return "tcp", params


def _protocol(steps: list[dict[str, Any]]) -> str | None:
    """Whose STARTTLS these steps speak."""
    words = [step[key] for step in steps for key in ("expect", "expect_bytes", "send") if step.get(key)]
    spoken = "\n".join(word.decode("latin-1") if isinstance(word, bytes) else str(word) for word in words)
    return next((protocol for protocol, mark in _STARTTLS.items() if mark.search(spoken)), None)


def _turns(module: Module, step: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A step there expects first and sends then, a line; the first group of what it heard may be sent as ${1}."""
    expect, literal, send = step.pop("expect", None), step.pop("expect_bytes", None), step.pop("send", None)
    step.pop("starttls", None)
    for key in step:
        module.say(f"tcp.query_response: {key} is not carried over")
    said = re.sub(r"\$\{?1\}?", "{heard}", send) if isinstance(send, str) else ""
    if re.search(r"\$\{?\d", said):
        module.say("tcp.query_response: of what was heard the first group alone can be sent; correct the dialogue")
    if expect is not None:
        yield {"expect": f"(?m){pattern_of(module, expect)}", **({"take": "heard"} if "{heard}" in said else {})}
    if literal is not None:
        yield {"expect": _exactly(literal)}
    if isinstance(send, bytes):
        yield {"send_hex": (send + b"\n").hex()}
    elif send is not None:
        yield {"send": said + "\n"}


def _exactly(literal: str | bytes) -> str:
    """A pattern for these bytes and no others."""
    data = literal.encode() if isinstance(literal, str) else literal
    return "".join(re.escape(chr(byte)) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in data)


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
    bracketed = re.fullmatch(r"\[(.+)\](?::(\d+))?", target)
    host, _, port = target.partition(":") if target.count(":") == 1 else (target, "", "")
    if bracketed is not None:
        host, port = bracketed[1], bracketed[2] or ""
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
    _answers(module, params)
    for key in ("validate_authority_rrs", "validate_additional_rrs"):
        if module.take(key):
            module.say(f"dns.{key} is not carried over: the kind `dns` looks at the answer section alone")
    return "dns", params


def _answers(module: Module, params: dict[str, Any]) -> None:
    """Regular expressions on records of the answer section; there and here of the record as a zone file has it."""
    asked = module.part("validate_answer_rrs")
    for theirs, ours in (
        ("fail_if_not_matches_regexp", "answers_match"),
        ("fail_if_matches_regexp", "answers_match_not"),
    ):
        if patterns := [pattern_of(module, str(text)) for text in asked.take(theirs) or []]:
            params[ours] = [pattern for pattern in patterns if pattern]
    for key in ("fail_if_none_matches_regexp", "fail_if_all_match_regexp"):
        if asked.take(key):
            remedy = "`answers_match` asks it of every record, `answers` and `answers_absent` name whole ones"
            module.say(f"dns.validate_answer_rrs.{key} is not carried over: {remedy}")
    asked.say_left("dns.validate_answer_rrs.")
