"""Names become addresses by c-ares on the prober's own loop: never in libcurl's threads, never in asyncio's.

A dead resolver then costs the probe that asked, and nobody else. A name that is an address already is not looked up.
Every address passes `targets` of the settings here, each time, before anybody sends a packet to it.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket

import aiodns

from cemd.config.targets import Targets, remedy
from cemd.model.quality import Outcome
from cemd.monitor.probes.base import Blind, IpVersion, Missed, Reason

_FAMILIES = {IpVersion.ANY: socket.AF_UNSPEC, IpVersion.V4: socket.AF_INET, IpVersion.V6: socket.AF_INET6}
_MOST_VERDICTS = 100_000
KEPT_SECONDS = 300.0
"""An address is used for so long at most, whatever time to live its name has: a host that moves is soon found."""
_NO_RESOLVER = frozenset({11, 12, 24})  # ARES_ECONNREFUSED, ARES_ETIMEOUT, ARES_ECANCELLED
LOCAL_TROUBLE = {
    errno.ENETUNREACH: Reason.NO_ROUTE,
    errno.EADDRNOTAVAIL: Reason.NO_ROUTE,
    errno.ENETDOWN: Reason.NO_ROUTE,
    errno.EMFILE: Reason.NO_RESOURCES,
    errno.ENFILE: Reason.NO_RESOURCES,
    errno.ENOBUFS: Reason.NO_RESOURCES,
    errno.ENOMEM: Reason.NO_RESOURCES,
    errno.EPERM: Reason.NOT_PERMITTED,
    errno.EACCES: Reason.NOT_PERMITTED,
}
"""Errors of the socket calls that say something about this host and nothing about the target."""
_REMOTE_TROUBLE = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ECONNRESET: Reason.CLOSED_EARLY,
    errno.EPIPE: Reason.CLOSED_EARLY,
    errno.EHOSTUNREACH: Reason.UNREACHABLE,
    errno.EHOSTDOWN: Reason.UNREACHABLE,
}


def trouble(number: int, what: str) -> Blind | Missed:
    """What an error number of a socket call means: our own trouble is blind, the target's is a result."""
    words = f"{what}: {errno.errorcode.get(number, number)}."
    if (ours := LOCAL_TROUBLE.get(number)) is not None:
        return Blind(ours, words)
    if number == errno.ETIMEDOUT:
        return Missed(Reason.NO_ANSWER, words, outcome=Outcome.TIMED_OUT)
    return Missed(_REMOTE_TROUBLE.get(number, Reason.UNREACHABLE), words)


def is_address(host: str) -> bool:
    """True for a numeric IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Names:
    """The prober's resolver. Made inside a running loop; `nameservers` only for tests."""

    def __init__(self, nameservers: list[str] | None = None, targets: Targets | None = None) -> None:
        self._nameservers = nameservers
        self._resolver: aiodns.DNSResolver | None = None
        self._targets = targets or Targets()
        self._verdicts: dict[tuple[str, str], str | None] = {}
        self._kept: dict[tuple[str, IpVersion], tuple[str, float]] = {}
        """First address of a name, and until when it may be used (time of the loop)."""
        self._stale: dict[tuple[str, str], str | None] = {}
        """Verdicts by what was allowed before. They go one by one: all at once would hold the loop for fifteen
        milliseconds."""

    @property
    def targets(self) -> Targets:
        """Where probes may go: another object whenever it changes."""
        return self._targets

    def allow(self, targets: Targets) -> None:
        """Where probes may go from now on; where that is what it was, nobody is looked at anew."""
        if targets != self._targets:
            self._targets = targets
            self._stale, self._verdicts = self._verdicts, {}

    def check(self, host: str, address: str) -> str:
        """The address, if probes may go there.

        Raises:
            Blind: they may not.
        """
        key = (host, address)
        if self._stale:
            self._stale.popitem()
        if key not in self._verdicts:
            if len(self._verdicts) >= _MOST_VERDICTS:
                self._verdicts.clear()
            self._verdicts[key] = self._targets.refusal(host, address)
        if (fact := self._verdicts[key]) is not None:
            raise Blind(Reason.TARGET_NOT_ALLOWED, f"{fact}; {remedy(fact)}.")
        return address

    def check_unknown(self, host: str) -> None:
        """The same of a host that somebody else will look up (a proxy), as far as its text alone can tell.

        Raises:
            Blind: probes may not go there.
        """
        if (fact := self._targets.refusal_of_text(host)) is not None:
            raise Blind(Reason.TARGET_NOT_ALLOWED, f"{fact}; {remedy(fact)}.")

    async def address(self, host: str, within_seconds: float, version: IpVersion = IpVersion.ANY) -> str:
        """One numeric address of the host, IPv4 first where any will do; raises as `addresses`."""
        return (await self.addresses(host, within_seconds, version))[0]

    def known(self, host: str, version: IpVersion) -> str | None:
        """What `address` answered last, while the name's time to live lasts; None: it is to be asked.

        Raises:
            Blind: probes may not go there.
        """
        kept = self._kept.get((host, version))
        if kept is None or asyncio.get_running_loop().time() >= kept[1]:
            return None
        return self.check(host, kept[0])

    async def addresses(self, host: str, within_seconds: float, version: IpVersion = IpVersion.ANY) -> tuple[str, ...]:
        """All numeric addresses of the host, at least one, IPv4 first, in the order of the resolver.

        Raises:
            Missed: there is no such name.
            Blind: probes may not go there, or our resolver does not answer within nine tenths of the time: whether the
                target lives is unknown.
        """
        if is_address(host):
            return (self.check(host, host),)
        if self._resolver is None:
            self._resolver = aiodns.DNSResolver(nameservers=self._nameservers)
        within = asyncio.timeout(within_seconds * 0.9)
        try:
            async with within:
                found = await self._resolver.getaddrinfo(
                    _ascii(host), family=_FAMILIES[version], type=socket.SOCK_STREAM
                )
        except (TimeoutError, asyncio.CancelledError) as exc:
            blind = Blind(Reason.NAME_NO_ANSWER, f"our resolver does not answer for {host} in time.")
            # A loop that comes late finds the attempt's own deadline over as well, which then cancels us, and a process
            # that was held up between the two may find it over first: all the same it is our resolver that did not
            # answer. So whoever turns the cancellation into a timeout finds that with it (`blinded`).
            if isinstance(exc, asyncio.CancelledError) and not within.expired():
                raise asyncio.CancelledError(blind) from exc
            raise blind from exc
        except aiodns.error.DNSError as exc:
            if exc.args and exc.args[0] in _NO_RESOLVER:
                raise Blind(Reason.NAME_NO_ANSWER, f"our resolver does not answer for {host}.") from exc
            raise Missed(Reason.NAME_NOT_FOUND, f"{host}: {exc.args[-1] if exc.args else 'unknown'}.") from exc
        nodes = sorted(found.nodes, key=lambda node: node.family != socket.AF_INET)
        raw = dict.fromkeys(node.addr[0] for node in nodes)
        if not raw:
            raise Missed(Reason.NAME_NOT_FOUND, f"{host} has no address of the wanted kind.")
        addresses = tuple(self.check(host, one.decode() if isinstance(one, bytes) else one) for one in raw)
        self._keep(host, version, addresses[0], min(node.ttl for node in nodes))
        return addresses

    def _keep(self, host: str, version: IpVersion, address: str, ttl_seconds: int) -> None:
        """A name without a time to live, such as one of this host's own table, is asked each time."""
        if len(self._kept) >= _MOST_VERDICTS:
            self._kept.clear()
        if ttl_seconds > 0:
            until = asyncio.get_running_loop().time() + min(ttl_seconds, KEPT_SECONDS)
            self._kept[host, version] = (address, until)

    async def aclose(self) -> None:
        if self._resolver is not None:
            await self._resolver.close()
            self._resolver = None


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    import idna  # only names beyond ASCII need it

    try:
        return idna.encode(host).decode()
    except idna.IDNAError as exc:
        raise Missed(Reason.NAME_NOT_FOUND, f"{host!r} is no name that DNS can hold.") from exc
