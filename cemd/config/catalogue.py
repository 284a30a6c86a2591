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
    function: str
    """What it does, in the operator's words: charging, access, order-handling."""
    domain: Domain
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
    parent: Name | None = None
    kind: str = "site"
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
    renamed_from: Name | None = None
    category: TouchpointCategory = TouchpointCategory.BRAND
    channel: TouchpointChannel
    site: Name | None = None
    offers: list[Name] = []
    depends_on: list[Name] = []


class Process(FileModel):
    """A business process in a domain of the business."""

    name: Name
    domain: Name


class StepSummary(StrEnum):
    WEAKEST = "weakest"
    MEAN = "mean"


class Step(FileModel):
    name: Name
    title: str = ""
    touchpoint: Name
    needs: list[Name] = Field(default=[], description="Services that the step needs.")
    moment_of_truth: bool = False
    weight: float = Field(default=1.0, gt=0, le=1000)
    summary: StepSummary = StepSummary.WEAKEST
    """How the needs make the step's score: the weakest of them, or their mean."""


class Journey(FileModel):
    """What a customer tries to get done, in steps."""

    name: Name
    title: str = ""
    renamed_from: Name | None = None
    macro_journey: Name
    stage: str
    process: Name
    owner: str = Field(min_length=1, description="Who answers for it; alerts and reports can be routed by owner.")
    complete_within_seconds: Seconds | None = None
    importance: float = Field(default=1.0, gt=0, le=1000)
    steps: list[Step] = Field(min_length=1)
    alternatives: dict[Name, list[Name]] = {}


class CatalogueFile(FileModel):
    services: list[Service] = []
    sites: list[Site] = []
    touchpoints: list[Touchpoint] = []
    processes: list[Process] = []
    journeys: list[Journey] = []
