"""`cemd import blackbox`: modules of Prometheus's blackbox_exporter become probes, and what cannot is said.

A module says how, never where: targets come from Prometheus's own file (`--prometheus`), or stand as a value at the
head of the file that is written. Nothing is dropped in silence: every key of a module is carried over or named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from cemd.errors import CemdError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_PLACEHOLDER = "target.example.net"
_OAUTH2: tuple[str, ...] = ("token_url", "client_id", "client_secret_file")
_NO_PORT = "fill in"
_PORTS = {
    r"ssh|sftp": ("22", "22"),
    r"pop3|\+ok": ("110", "995"),
    r"imap|\* ok": ("143", "993"),
    r"smtp|[eh][eh]lo\b": ("25", "465"),
    r"irc(?![a-z])|nick\b": ("6667", "6697"),
    r"ldap": ("389", "636"),
    r"mqtt": ("1883", "8883"),
    r"postgres": ("5432", "5432"),
    r"mysql|mariadb": ("3306", "3306"),
    r"redis": ("6379", "6379"),
    r"sip(?![a-z])": ("5060", "5061"),
    r"xmpp|jabber": ("5222", "5223"),
    r"ftp": ("21", "990"),
    r"http": ("80", "443"),
}
"""What a module's name or dialogue shows -> the port registered for the protocol in clear, and over TLS (IANA)."""
GRPC_PATH = "/grpc.health.v1.Health/Check"


@dataclass(slots=True)
class Module:
    """One module on its way over: `take` hands out a key once, and what nobody took is said at the end."""

    name: str
    left: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    """Texts at the head of the file that is written."""

    def take(self, key: str, otherwise: Any = None) -> Any:
        return self.left.pop(key, otherwise)

    def say(self, words: str) -> None:
        self.notes.append(f"{self.name}: {words}.")

    def part(self, key: str) -> Module:
        """A mapping inside it, whose notes are this one's."""
        inner = self.take(key) or {}
        if not isinstance(inner, dict):
            raise CemdError(f"module {self.name}: {key} is no mapping; correct the file.")
        return Module(self.name, dict(inner), self.notes, self.values)

    def say_left(self, where: str) -> None:
        for key in self.left:
            self.say(f"{where}{key} is not carried over")


@dataclass(frozen=True, slots=True)
class Imported:
    """Probes as a file of `probes/` holds them, values that their targets stand for, and what was not carried over."""

    probes: list[dict[str, Any]]
    values: dict[str, str]
    notes: list[str]

    def text(self) -> str:
        """The file."""
        head = "".join(f"# {note}\n" for note in self.notes)
        body = {**({"values": self.values} if self.values else {}), "probes": self.probes}
        return head + yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=120)


def import_modules(file: Path, prometheus: Path | None, *, service: str, every_seconds: float) -> Imported:
    """What the modules of a blackbox_exporter's file are in ours.

    Raises:
        CemdError: a file cannot be read, or is no such file.
    """
    modules = _mapping(file).get("modules")
    if not isinstance(modules, dict) or not modules:
        raise CemdError(f"{file}: no modules; give a configuration of blackbox_exporter.")
    targets = _targets(_mapping(prometheus)) if prometheus else {}
    probes: list[dict[str, Any]] = []
    values: dict[str, str] = {}
    notes: list[str] = []
    for name, content in modules.items():
        for place, target in enumerate(targets.get(str(name)) or [None], 1):
            module = Module(str(name), dict(content or {}), notes if place == 1 else [], values)
            probe = _probe(module, target or _unknown(module), every_seconds)
            suffix = "" if place == 1 else f"-{place}"
            probes.append({"name": f"{_word(str(name))}{suffix}", **probe, "service": service})
    order = ("name", "kind", "service", "every_seconds", "timeout_seconds", "params")
    return Imported([{key: probe[key] for key in order} for probe in probes], values, notes)


def _unknown(module: Module, what: str = "target", text: str = _PLACEHOLDER) -> str:
    """Something that only the operator knows: a value at the head of the file."""
    name = f"{re.sub('[^a-z0-9]+', '_', module.name.lower()).strip('_')}_{what}"
    module.values[name] = text
    return "{" + name + "}"


def _probe(module: Module, target: str, every_seconds: float) -> dict[str, Any]:
    prober = module.take("prober")
    how = _PROBERS.get(prober)
    if how is None:
        raise CemdError(f"module {module.name}: prober {prober!r} is not known; known are {', '.join(_PROBERS)}.")
    timeout = _duration(module, module.take("timeout", "5s"))
    if timeout >= every_seconds:
        module.say(
            f"timeout of {timeout:g} s is cut to {every_seconds / 2:g} s, since it runs every {every_seconds:g} s"
        )
        timeout = every_seconds / 2
    inner = module.part(prober)
    kind, params = how(inner, target)
    for prober_word in _PROBERS:
        if isinstance(module.left.get(prober_word), dict):
            module.take(prober_word)
            module.say(f"{prober_word} is left out: the module's prober is {prober}")
    inner.say_left(f"{prober}.")
    module.say_left("")
    return {"kind": kind, "every_seconds": every_seconds, "timeout_seconds": timeout, "params": params}


# http, grpc.


def _http(module: Module, target: str) -> tuple[str, dict[str, Any]]:
    url = target if "://" in target else f"http://{target}"
    params: dict[str, Any] = {"url": url, **_ip_version(module)}
    for theirs, ours in (("method", "method"), ("body", "body"), ("headers", "headers"), ("proxy_url", "proxy")):
        if (value := module.take(theirs)) not in (None, {}):
            params[ours] = value
    if codes := module.take("valid_status_codes"):
        params["status"] = list(codes)
    follows = module.take("follow_redirects", True) and not module.take("no_follow_redirects", False)
    if follows:
        params["redirects"] = 10
    _http_versions(module, params)
    _http_conditions(module, params)
    _credentials(module, params)
    _tls(module.part("tls_config"), params, client=True)
    if limit := module.take("body_size_limit"):
        params["max_body_bytes"] = _size(module, limit)
    if module.take("compression"):
        module.say("http.compression is not carried over: bodies are asked for as they are")
    if module.take("fail_if_ssl"):
        module.say("http.fail_if_ssl is not carried over: give an http:// URL")
    if module.take("fail_if_not_ssl"):
        params["url"] = re.sub("^http://", "https://", params["url"])
    return "http", params


def _http_versions(module: Module, params: dict[str, Any]) -> None:
    versions = module.take("valid_http_versions") or []
    if module.take("enable_http2", True) and params["url"].startswith("https://"):
        params["http2"] = True
    if versions and all("2" in str(version).partition("/")[2] for version in versions):
        params |= {"http2": True, "require_http2": True}
    elif versions:
        module.say("http.valid_http_versions is not carried over, other than HTTP/2 alone")


def _http_conditions(module: Module, params: dict[str, Any]) -> None:
    if patterns := module.take("fail_if_body_matches_regexp"):
        params["body_matches_not"] = "|".join(f"(?:{_pattern(module, pattern)})" for pattern in patterns)
    if patterns := [_pattern(module, text) for text in module.take("fail_if_body_not_matches_regexp") or []]:
        several = "".join(f"(?=[\\s\\S]*?(?:{pattern}))" for pattern in patterns)
        params["body_matches"] = patterns[0] if len(patterns) == 1 else f"\\A{several}"
    for key, negated in (("fail_if_header_not_matches", False), ("fail_if_header_matches", True)):
        for one in module.take(key) or []:
            name, pattern = str(one.get("header")), _pattern(module, str(one.get("regexp")))
            if name in params.setdefault("header_matches", {}):
                module.say(f"http.{key}: a second condition on {name} is not carried over")
                continue
            allows_missing = one.get("allow_missing", False)
            text = f"\\A(?![\\s\\S]*?(?:{pattern}))" if negated else pattern
            if allows_missing and not negated:
                text = f"\\A\\Z|{text}"
            if negated and not allows_missing:
                module.say(f"http.{key}: a missing {name} is right here; there it failed")
            params["header_matches"][name] = text


def _credentials(module: Module, params: dict[str, Any]) -> None:
    if path := module.take("bearer_token_file"):
        params["bearer_file"] = path
    authorization = module.part("authorization")
    if (path := authorization.take("credentials_file")) and authorization.take("type", "Bearer") == "Bearer":
        params["bearer_file"] = path
    authorization.say_left("http.authorization.")
    for key in ("bearer_token", "basic_auth"):
        if module.take(key):
            module.say(
                f"http.{key} is not carried over: secrets stand in files; write the value of Authorization into one, "
                "and give header_files"
            )
    oauth2 = module.part("oauth2")
    if oauth2.left:
        made: dict[str, str] = {key: oauth2.take(key) for key in _OAUTH2 if key in oauth2.left}
        if scopes := oauth2.take("scopes"):
            made["scope"] = " ".join(scopes)
        if oauth2.take("client_secret"):
            module.say("http.oauth2.client_secret is not carried over: write it into a file, client_secret_file")
            made.setdefault("client_secret_file", f"/etc/cemd/{_word(module.name)}.secret")
        params["oauth2"] = made
        oauth2.say_left("http.oauth2.")


def _grpc(module: Module, target: str) -> tuple[str, dict[str, Any]]:
    """The health check of gRPC is a POST over HTTP/2: a frame with the service's name, answered by SERVING (1)."""
    tls = bool(module.take("tls", False))
    service = str(module.take("service", "") or "")
    message = (b"\x0a" + bytes((len(service),)) + service.encode()) if service else b""
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    host = urlsplit(target).netloc if "://" in target else target
    params: dict[str, Any] = {
        "url": f"{'https' if tls else 'http'}://{host}{GRPC_PATH}",
        **_ip_version(module),
        "method": "POST",
        "headers": {"Content-Type": "application/grpc", "TE": "trailers"},
        "body_hex": frame.hex(),
        "body_contains": "\x08\x01",
        "http2": True,
        "require_http2": True,
    }
    _tls(module.part("tls_config"), params, client=True)
    return "http", params


# tcp, icmp, dns.


def _tcp(module: Module, target: str) -> tuple[str, dict[str, Any]]:
    host, port = _host_port(module, target)
    params: dict[str, Any] = {"host": host, "port": port, **_ip_version(module), **_source(module)}
    turns = [turn for step in module.take("query_response") or [] for turn in _turns(module, dict(step))]
    if module.take("tls"):
        params["tls"] = "direct"
    if turns:
        params["dialogue"] = turns
    tls_config = module.part("tls_config")
    if "tls" in params:
        _tls(tls_config, params, client=False)
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
        yield {"expect": f"(?m){_pattern(module, expect)}", **({"take": "heard"} if "{heard}" in said else {})}
    if send is not None:
        yield {"send": said + "\n"}


def _icmp(module: Module, target: str) -> tuple[str, dict[str, Any]]:
    params: dict[str, Any] = {"target": target, "packets": 1, **_ip_version(module), **_source(module)}
    if hops := module.take("ttl"):
        params["hop_limit"] = hops
    if size := module.take("payload_size"):
        params["payload_bytes"] = size
    if module.take("dont_fragment"):
        module.say("icmp.dont_fragment is not carried over")
    return "icmp", params


def _dns(module: Module, target: str) -> tuple[str, dict[str, Any]]:
    host, _, port = target.partition(":") if target.count(":") == 1 else (target, "", "")
    params: dict[str, Any] = {"server": host, "name": module.take("query_name", "."), **_ip_version(module)}
    params |= _source(module)
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
        _tls(tls_config, params, client=False)
    for key in ("validate_answer_rrs", "validate_authority_rrs", "validate_additional_rrs"):
        if module.take(key):
            module.say(f"dns.{key} is not carried over; give `answers` or `answers_absent`")
    return "dns", params


_PROBERS: dict[str, Callable[[Module, str], tuple[str, dict[str, Any]]]] = {
    "http": _http,
    "tcp": _tcp,
    "icmp": _icmp,
    "dns": _dns,
    "grpc": _grpc,
}


# What several have.


def _pattern(module: Module, text: str) -> str:
    """A regular expression of RE2 in Python's words."""
    if text.startswith("^+"):  # an anchor, once or more: a plus sign was meant, as in the example for POP3
        meant = "^\\" + text[1:]
        module.say(f"the pattern {text} is taken as {meant}")
        text = meant
    text = text.replace("\\z", "\\Z")
    try:
        re.compile(text)
    except re.error as exc:
        module.say(f"the pattern {text!r} is not carried over ({exc}); correct it")
        return ""
    return text


def _ip_version(module: Module) -> dict[str, str]:
    preferred = module.take("preferred_ip_protocol")
    falls_back = module.take("ip_protocol_fallback", True)
    if preferred in {"ip4", "ip6"} and (not falls_back or preferred == "ip6"):
        if falls_back:
            module.say("preferred_ip_protocol ip6 with fallback is not carried over: any address will do, IPv4 first")
            return {}
        return {"ip_version": preferred[-1]}
    return {}


def _source(module: Module) -> dict[str, str]:
    address = module.take("source_ip_address")
    return {"source_address": address} if address else {}


def _tls(config: Module, params: dict[str, Any], *, client: bool) -> None:
    if path := config.take("ca_file"):
        params["ca_file"] = path
    pair = config.take("cert_file"), config.take("key_file")
    if client and all(pair):
        params |= {"client_certificate_file": pair[0], "client_key_file": pair[1]}
    elif any(pair):
        config.say("tls_config: the client certificate is not carried over")
    if config.take("insecure_skip_verify"):
        config.say("tls_config.insecure_skip_verify is not carried over: certificates are verified; give ca_file")
    if name := config.take("server_name"):
        if client:
            config.say("tls_config.server_name is not carried over: the URL's own name is verified")
        else:
            params["tls_name"] = name
    config.say_left("tls_config.")
    config.left.clear()


def _host_port(module: Module, target: str) -> tuple[str, int | str]:
    if target.startswith("{"):
        return target, _unknown(module, "port", _usual_port(module))
    host, _, port = target.rpartition(":")
    if not port.isdigit():
        raise CemdError(f"module {module.name}: target {target!r} has no port; write host:port.")
    return host.strip("[]"), int(port)


def _usual_port(module: Module) -> str:
    """The port that the module's protocol usually has, told by its name or by what it says and expects; else a text
    that is no port, so that `cemd check` asks for it."""
    turns = [dict(turn) for turn in module.left.get("query_response") or []]
    heard = " ".join([module.name, *(str(turn.get(key) or "") for turn in turns for key in ("expect", "send"))]).lower()
    of_protocol = next((ports for mark, ports in _PORTS.items() if re.search(f"(?<![a-z])(?:{mark})", heard)), None)
    if of_protocol is None:
        module.say(f"which port it connects to stands nowhere; fill it in at the head of the file, for {_NO_PORT!r}")
        return _NO_PORT
    return of_protocol[bool(module.left.get("tls"))]


def _duration(module: Module, text: Any) -> float:
    found = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", str(text))
    if not found:
        raise CemdError(f"module {module.name}: timeout {text!r} is no time such as 5s; correct the file.")
    return sum(float(number) * _SECONDS[unit] for number, unit in found)


def _size(module: Module, text: Any) -> int:
    found = re.fullmatch(r"(\d+)\s*([KMG]?B)?", str(text))
    if found is None:
        raise CemdError(f"module {module.name}: body_size_limit {text!r} is no size such as 10MB; correct the file.")
    return int(found[1]) * _BYTES[found[2] or ""]


def _word(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:58] or "module"


def _targets(document: dict[str, Any]) -> dict[str, list[str]]:
    """Targets of each module in Prometheus's file, as far as they stand there."""
    found: dict[str, list[str]] = {}
    for job in document.get("scrape_configs") or []:
        modules = (job.get("params") or {}).get("module") or []
        targets = [target for static in job.get("static_configs") or [] for target in static.get("targets") or []]
        for module in modules:
            found.setdefault(str(module), []).extend(map(str, targets))
    return found


def _mapping(file: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise CemdError(f"{file}: cannot be read as YAML ({type(exc).__name__}); correct it.") from exc
    if not isinstance(document, dict):
        raise CemdError(f"{file}: holds no mapping; give a configuration of blackbox_exporter, or of Prometheus.")
    return document
