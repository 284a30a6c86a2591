"""The catalogue: services, sites, touchpoints, processes and journeys (`config/catalogue/*.yaml`)."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from cemd.config.base import FileModel, Name, Seconds


class Domain(StrEnum):
    NETWORK = "network"
    IT = "it"
    BSS = "bss"
    PARTNER = "partner"


class Service(FileModel):
    """What is sold, or what it stands on: mobile data, top-up; a CRM, an HLR, a payment gateway."""

    name: Name
    title: str = ""
    """Name for customers and screens; default: the name."""
    renamed_from: Name | None = None
    """The former name: history and incidents go on under the new one."""
    function: str
    """What it does, in the operator's words: charging, access, order-handling."""
    domain: Domain
    """Whose it is: `network`, `it`, `bss`, or a `partner` outside."""
    platform: str
    """The system that carries it: names a vendor product or a cluster."""
    depends_on: list[Name] = []
    """Services without which this one does not work."""
    sold: bool = False
    """True: customers have it by contract; the customer file may name it."""
    critical: bool = False
    """True: emergency calls and the like; a failure pages at once."""


class Site(FileModel):
    """A place: cell, exchange, shop, data centre, region. Sites nest."""

    name: Name
    title: str = ""
    """Name for customers and screens; default: the name."""
    parent: Name | None = None
    """The site that this one lies in."""
    kind: str = "site"
    """What it is, in the operator's words: cell, exchange, shop, data centre, region."""
    zone: str | None = None
    """IANA time zone; default: the parent's, else the operator's."""


class TouchpointCategory(StrEnum):
    BRAND = "brand"
    PARTNER = "partner"
    CUSTOMER = "customer"
    SOCIAL = "social"


class TouchpointChannel(StrEnum):
    SHOP = "shop"
    CALL_CENTRE = "call_centre"
    APP = "app"
    WEB = "web"
    USSD = "ussd"
    SMS = "sms"
    EMAIL = "email"
    DEVICE = "device"


class Touchpoint(FileModel):
    """Where customer and company meet."""

    name: Name
    title: str = ""
    """Name for customers and screens; default: the name."""
    renamed_from: Name | None = None
    """The former name: history goes on under the new one."""
    category: TouchpointCategory = TouchpointCategory.BRAND
    """Whose it is: our own brand's, a partner's, the customer's, social."""
    channel: TouchpointChannel
    """The way that customers come."""
    site: Name | None = None
    """Where it stands; left out: everywhere."""
    offers: list[Name] = []
    """Services that customers get here."""
    depends_on: list[Name] = []
    """Services without which the touchpoint itself does not work."""


class Process(FileModel):
    """A business process in a domain of the business."""

    name: Name
    domain: Name
    """Part of the business that it belongs to, such as selling-and-billing."""


class StepSummary(StrEnum):
    WEAKEST = "weakest"
    MEAN = "mean"


class Step(FileModel):
    """One step of a journey: it happens at a touchpoint and needs services."""

    name: Name
    title: str = ""
    """What screens call it; default: the name."""
    touchpoint: Name
    """Where it happens."""
    needs: list[Name] = Field(default=[], description="Services that the step needs.")
    moment_of_truth: bool = False
    """True: it decides how the customer remembers the journey; when it is down, it caps the journey's score."""
    weight: float = Field(default=1.0, gt=0, le=1000)
    """Share in the journey's mean, against 1 of an ordinary step."""
    summary: StepSummary = StepSummary.WEAKEST
    """How the needs make the step's score: the weakest of them, or their mean."""


class Journey(FileModel):
    """What a customer tries to get done, in steps."""

    name: Name
    title: str = ""
    """Name for customers and screens; default: the name."""
    renamed_from: Name | None = None
    """The former name: its health and incidents go on under the new one."""
    macro_journey: Name
    """The larger journey that it is part of: become-a-customer, use, pay, get-help, leave."""
    stage: str
    """Where in the customer's life it stands, in the operator's words: onboard, use, leave."""
    process: Name
    """The business process that serves it."""
    owner: str = Field(min_length=1, description="Who answers for it; alerts and reports can be routed by owner.")
    complete_within_seconds: Seconds | None = None
    """The time that was promised to customers."""
    importance: float = Field(default=1.0, gt=0, le=1000)
    """Weight against 1 of an ordinary journey: in the index, and in what to mend first."""
    steps: list[Step] = Field(min_length=1)
    """In the order in which a customer takes them."""
    alternatives: dict[Name, list[Name]] = {}
    """Touchpoint of a step -> touchpoints where the same can be done."""


class CatalogueFile(FileModel):
    services: list[Service] = []
    sites: list[Site] = []
    touchpoints: list[Touchpoint] = []
    processes: list[Process] = []
    journeys: list[Journey] = []
