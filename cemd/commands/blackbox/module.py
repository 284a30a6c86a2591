"""A module on its way over: its keys are handed out once, what nobody took is said. With what several kinds share."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cemd.errors import CemdError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
PLACEHOLDER = "target.example.net"
_NO_PORT = "fill in"
_CLIENT = ("client_certificate_file", "client_key_file")
IP6_FIRST = (
    "Without preferred_ip_protocol a name's IPv6 address was asked first, here the IPv4 address; give `ip_version`, or "
    "a probe for each."
)
_PORTS = {
    r"amqp|rabbitmq": ("5672", "5671"),
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


@dataclass(slots=True)
class Module:
    """One module on its way over: `take` hands out a key once, and what nobody took is said at the end."""

    name: str
    left: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    """Texts at the head of the file that is written."""
    folder: Path = Path()
    """Where the file lies that the module stands in; names of other files count from there."""

    def take(self, key: str, otherwise: Any = None) -> Any:
        return self.left.pop(key, otherwise)

    def say(self, words: str) -> None:
        self.notes.append(f"{self.name}: {words}.")

    def part(self, key: str) -> Module:
        """A mapping inside it, whose notes are this one's."""
        inner = self.take(key) or {}
        if not isinstance(inner, dict):
            raise CemdError(f"module {self.name}: {key} is no mapping; correct the file.")
        return Module(self.name, dict(inner), self.notes, self.values, self.folder)

    def say_left(self, where: str) -> None:
        for key in self.left:
            self.say(f"{where}{key} is not carried over")


def found_file(module: Module, name: str) -> str:
    """The name of a file in our words, where names count from the root: made whole, if it lies beside the module's."""
    beside = module.folder / name
    return str(beside.resolve()) if not name.startswith("/") and beside.is_file() else name


def file_to_write(module: Module, what: str) -> str:
    """Where the operator shall write a secret that stood in the file itself."""
    return f"/etc/cemd/{word_of(module.name)}.{what}"


def unknown(module: Module, what: str = "target", text: str = PLACEHOLDER) -> str:
    """Something that only the operator knows: a value at the head of the file."""
    name = f"{re.sub('[^a-z0-9]+', '_', module.name.lower()).strip('_')}_{what}"
    module.values[name] = text
    return "{" + name + "}"


def pattern_of(module: Module, text: str) -> str:
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


def ip_version(module: Module) -> dict[str, str]:
    preferred = module.take("preferred_ip_protocol")
    if preferred is None and IP6_FIRST not in module.notes:
        module.notes.append(IP6_FIRST)
    falls_back = module.take("ip_protocol_fallback", True)
    if preferred in {"ip4", "ip6"} and (not falls_back or preferred == "ip6"):
        if falls_back:
            module.say("preferred_ip_protocol ip6 with fallback is not carried over: any address will do, IPv4 first")
            return {}
        return {"ip_version": preferred[-1]}
    return {}


def source_of(module: Module) -> dict[str, str]:
    address = module.take("source_ip_address")
    return {"source_address": address} if address else {}


def tls_of(config: Module, params: dict[str, Any], *, client: bool) -> None:
    if path := config.take("ca_file"):
        params["ca_file"] = found_file(config, path)
    pair = config.take("cert_file"), config.take("key_file")
    if client and all(pair):
        params |= dict(zip(_CLIENT, (found_file(config, path) for path in pair), strict=True))
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


def host_and_port(module: Module, target: str) -> tuple[str, int | str]:
    if target.startswith("{"):
        return target, unknown(module, "port", _usual_port(module))
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


def seconds_of(module: Module, text: Any, key: str = "timeout") -> float:
    found = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", str(text))
    if not found:
        raise CemdError(f"module {module.name}: {key} {text!r} is no time such as 5s; correct the file.")
    return sum(float(number) * _SECONDS[unit] for number, unit in found)


def bytes_of(module: Module, text: Any) -> int:
    found = re.fullmatch(r"(\d+)\s*([KMG]?B)?", str(text))
    if found is None:
        raise CemdError(f"module {module.name}: body_size_limit {text!r} is no size such as 10MB; correct the file.")
    return int(found[1]) * _BYTES[found[2] or ""]


def word_of(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:58] or "module"
