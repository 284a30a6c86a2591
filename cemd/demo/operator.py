"""DemoTelco, a small operator: its systems, what each stands on, what is sold, where. Truth; no wing can import it.

The same graph stands in `config/catalogue/services.yaml`, as an operator would write it; a test holds both equal. The
systems of this process really stand on each other along it, and the expected audience of a fault is worked out from it.
"""

from __future__ import annotations

from dataclasses import dataclass

NAME = "DemoTelco"
ZONE = "Europe/Berlin"

NEEDS: dict[str, tuple[str, ...]] = {
    "core-network": (),
    "access-east": (),
    "access-west": (),
    "dns-resolver": (),
    "mobile-data": ("core-network", "dns-resolver"),
    "mobile-voice": ("core-network",),
    "broadband-east": ("access-east", "dns-resolver"),
    "broadband-west": ("access-west", "dns-resolver"),
    "api-gateway": (),
    "app-platform": ("api-gateway",),
    "portal": ("api-gateway", "crm"),
    "contact-centre": ("crm",),
    "ussd-gateway": ("charging",),
    "crm": (),
    "hlr": (),
    "id-verification": (),
    "provisioning": ("hlr",),
    "order-management": ("crm", "id-verification", "provisioning"),
    "esim": ("provisioning",),
    "roaming": ("charging", "hlr"),
    "charging": (),
    "billing": ("crm",),
    "payment-gateway": (),
    "top-up": ("charging", "payment-gateway"),
}
"""Service to the services that it calls itself."""

SOLD = ("mobile-data", "mobile-voice", "broadband-east", "broadband-west", "esim", "roaming", "top-up")
"""What customers have by contract."""

SITES: dict[str, tuple[str, str | None]] = {
    "demoland": ("", "Europe/Berlin"),
    "east": ("demoland", None),
    "east-harbour": ("east", None),
    "east-hill": ("east", None),
    "west": ("demoland", "Europe/Lisbon"),
    "west-river": ("west", None),
    "west-field": ("west", None),
    "capital": ("demoland", None),
    "capital-centre": ("capital", None),
    "capital-park": ("capital", None),
    "shop-harbour": ("east-harbour", None),
    "shop-river": ("west-river", None),
    "shop-centre": ("capital-centre", None),
    "data-centre-1": ("capital", None),
    "data-centre-2": ("east", None),
}
"""Site to the site that it lies in and its own time zone, if it has one."""

HOMES = ("east-harbour", "east-hill", "west-river", "west-field", "capital-centre", "capital-park")
"""Sites where customers live."""


@dataclass(frozen=True, slots=True)
class Door:
    """A port that DemoTelco answers on. `shipped` is the port in the shipped files; the demo takes a free one."""

    name: str
    shipped: int
    protocol: str  # http, tcp, udp, smtp, mqtt
    service: str = ""  # whose outage shuts it


DOORS: tuple[Door, ...] = (
    Door("core-network", 17401, "tcp", "core-network"),
    Door("access-east", 17402, "tcp", "access-east"),
    Door("access-west", 17403, "tcp", "access-west"),
    Door("dns-resolver", 17404, "udp", "dns-resolver"),
    Door("mobile-voice", 17405, "tcp", "mobile-voice"),
    Door("mobile-data", 17406, "http", "mobile-data"),
    Door("broadband-east", 17407, "http", "broadband-east"),
    Door("broadband-west", 17408, "http", "broadband-west"),
    Door("api-gateway", 17409, "http", "api-gateway"),
    Door("app-platform", 17410, "http", "app-platform"),
    Door("portal", 17411, "http", "portal"),
    Door("contact-centre", 17412, "http", "contact-centre"),
    Door("ussd-gateway", 17413, "http", "ussd-gateway"),
    Door("crm", 17414, "http", "crm"),
    Door("hlr", 17415, "http", "hlr"),
    Door("hlr-signalling", 17416, "tcp", "hlr"),
    Door("id-verification", 17417, "http", "id-verification"),
    Door("provisioning", 17418, "http", "provisioning"),
    Door("order-management", 17419, "http", "order-management"),
    Door("esim", 17420, "http", "esim"),
    Door("roaming", 17421, "http", "roaming"),
    Door("charging", 17422, "http", "charging"),
    Door("billing", 17423, "http", "billing"),
    Door("payment-gateway", 17424, "http", "payment-gateway"),
    Door("top-up", 17425, "http", "top-up"),
    Door("telemetry", 17426, "mqtt"),
    Door("mail", 17427, "smtp"),
    Door("staff", 17428, "http"),
)

SHIPPED_PORTS: dict[str, int] = {door.name: door.shipped for door in DOORS}


def dependents(service: str) -> tuple[str, ...]:
    """The service and all that stand on it, directly or not."""
    names = [service]
    for name in names:  # grows while it is walked: breadth first
        names.extend(above for above, needs in NEEDS.items() if name in needs and above not in names)
    return tuple(names)


def sold_on(service: str) -> tuple[str, ...]:
    """What customers have by contract that fails with this service."""
    hurt = dependents(service)
    return tuple(name for name in SOLD if name in hurt)
