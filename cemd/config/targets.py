"""Where probes may go (`targets` of `config/cemd.yaml`): an allow-list, and addresses that are refused unless allowed.

A probe is somebody's wish to send packets from inside the operator's network. So what is not meant for customers, this
machine itself and its links, is refused until the operator says otherwise; and an allow-list, once given, is the whole
of what may be measured. `cemd check` holds what stands in the files against it, and the prober every address that a
name has become, each time: a name cannot lead to where its address may not.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PrivateAttr

from cemd.config.base import FileModel

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _place(text: str) -> str:
    """A network, or a name with at most a leading `*.`.

    Raises:
        ValueError: it is neither.
    """
    try:
        ipaddress.ip_network(text)
    except ValueError as exc:
        name = text.removeprefix("*.")
        if not name or set(name) & set(" /:*@") or name.replace(".", "").isdigit():
            raise ValueError(
                f"{text[:100]!r} is neither a network such as 10.0.0.0/8 (no bits beyond its length) nor a name "
                "such as www.example.net or *.example.net"
            ) from exc
    return text.lower()


Place = Annotated[str, AfterValidator(_place)]


class Targets(FileModel):
    """Where probes may go; multicast and broadcast never."""

    allow: Annotated[tuple[Place, ...], Field(max_length=10_000)] = ()
    """Networks (`10.0.0.0/8`), addresses, and names (`*.example.net` for all below it) that may be measured, and no
    others; default: everything but what the next two refuse."""
    loopback: bool = False
    """True: this machine's own addresses of loopback may be measured; default false, for what listens there is rarely
    meant for others."""
    link_local: bool = False
    """True: 169.254.0.0/16 and fe80::/10 may be measured; default false, for cloud platforms keep credentials there."""

    _spans: dict[int, tuple[list[int], list[int]]] = PrivateAttr(default_factory=dict)
    """Version of IP -> (first, last) addresses of the networks of `allow`, ascending and apart."""
    _names: frozenset[str] = PrivateAttr(default=frozenset())

    def model_post_init(self, _context: Any) -> None:
        """Reads the allow-list once: fifty thousand probes are held against it at each load."""
        networks: list[Any] = [ipaddress.ip_network(place) for place in self.allow if _is_network(place)]
        self._names = frozenset(place for place in self.allow if not _is_network(place))
        for version in (4, 6):
            own = ipaddress.collapse_addresses(network for network in networks if network.version == version)
            spans = [(int(network[0]), int(network[-1])) for network in sorted(own)]
            self._spans[version] = ([first for first, _ in spans], [last for _, last in spans])

    def refusal(self, host: str, address: str) -> str | None:
        """Why a host that has this numeric address may not be measured; None where it may.

        Raises:
            ValueError: `address` is no address.
        """
        found = _plain(address)
        if special := self._special(found):
            return special
        if self.allow and not (self._within(found) or self._named(host)):
            return f"{host if host == address else f'{host} ({address})'} is not in `targets.allow`"
        return None

    def refusal_of_text(self, host: str) -> str | None:
        """What of a refusal can be known before a name is looked up; None where nothing speaks against the host."""
        try:
            return self.refusal(host, host)
        except ValueError:
            pass
        if (host.lower() == "localhost" or host.lower().endswith(".localhost")) and not self.loopback:
            return f"{host} is on loopback"
        only_names = self._names and not any(firsts for firsts, _ in self._spans.values())
        if only_names and not self._named(host):
            return f"{host} is not in `targets.allow`"
        return None

    def _named(self, host: str) -> bool:
        """The name itself is there, or `*.` with a name that it is below."""
        name = host.lower().rstrip(".")
        if name in self._names:
            return True
        parts = name.split(".")
        return any(f"*.{'.'.join(parts[place:])}" in self._names for place in range(1, len(parts)))

    def _within(self, address: Address) -> bool:
        firsts, lasts = self._spans[address.version]
        place = bisect_right(firsts, int(address)) - 1
        return place >= 0 and int(address) <= lasts[place]

    def _special(self, address: Address) -> str | None:
        if (address.is_loopback or address.is_unspecified) and not self.loopback:
            return f"{address} is on loopback"
        if address.is_link_local and not self.link_local:
            return f"{address} is link-local"
        if address.is_multicast or address == ipaddress.IPv4Address("255.255.255.255"):
            return f"{address} is no address of one host"
        return None


def remedy(fact: str) -> str:
    """What to do about a refusal."""
    if "loopback" in fact:
        return "measure another address, or allow it with `targets: {loopback: true}` in config/cemd.yaml"
    if "link-local" in fact:
        return "measure another address, or allow it with `targets: {link_local: true}` in config/cemd.yaml"
    if "targets.allow" in fact:
        return "add it to `targets.allow` in config/cemd.yaml, or measure another"
    return "name the address of one host"


def _plain(address: str) -> Address:
    """The address without zone; an IPv4 address that is wrapped in IPv6 as itself."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def _is_network(place: str) -> bool:
    try:
        ipaddress.ip_network(place)
    except ValueError:
        return False
    return True
