"""The files of the small operator, with short times so that a day holds many lives of an incident; and their edits."""

from __future__ import annotations

import random
from typing import Any

from cemd.config.catalogue import Domain, Journey, Process, Service, Site, Step, Touchpoint, TouchpointChannel
from cemd.config.channels import Channel, Route
from cemd.config.configuration import Configuration
from cemd.config.probes import Probe
from cemd.config.rules import (
    Cap,
    Grouping,
    Indicator,
    Objective,
    Policy,
    QuietHours,
    RecheckPlaybook,
    Score,
    Selector,
    Summary,
    Texts,
)
from cemd.config.settings import Operator, Settings
from cemd.model.measurement import SUCCESS
from cemd.model.notice import MessageClass, Mode
from cemd.model.quality import Dimension

PROBE_SECONDS = 120.0
GRAPH: dict[str, tuple[str, ...]] = {
    "data": ("hlr", "core"),
    "voice": ("hlr", "core"),
    "top-up": ("payment", "crm"),
    "emergency": ("core",),
    "shop": ("crm",),
    "hlr": (),
    "core": (),
    "payment": (),
    "crm": (),
}
SOLD = ("data", "voice", "top-up", "emergency", "shop")
SITES = ("land", "east", "west")
PLACED = ("data", "voice", "emergency")  # these have a probe per region, the others one without a place
_TEXT = Texts(
    first_subject="{{ service }}",
    first="{{ service }} is disturbed since {{ since }}.",
    over_subject="{{ service }}",
    over="{{ service }} works again.",
    correction_subject="{{ service }}",
    correction="{{ service }} is disturbed again.",
)


def configuration(chance: random.Random) -> Configuration:
    """The files of this operator, with short times so that a day holds many lives of an incident."""
    probes = [
        Probe(
            name=f"{name}-{site}" if site else name,
            kind="tcp",
            service=name,
            site=site,
            every_seconds=PROBE_SECONDS,
            timeout_seconds=5.0,
            params={"target": "192.0.2.1", "port": 1},
        )
        for name in GRAPH
        for site in (("east", "west") if name in PLACED else (None,))
    ]
    return Configuration(
        settings=Settings(operator=Operator(name="Sim", zone="Europe/Berlin")),
        services=[_service(name) for name in GRAPH],
        sites=[Site(name="land"), Site(name="east", parent="land"), Site(name="west", parent="land")],
        touchpoints=[
            Touchpoint(name="app", channel=TouchpointChannel.APP, offers=["top-up"]),
            Touchpoint(name="pos", channel=TouchpointChannel.SHOP, offers=["shop"], site="west"),
        ],
        processes=[Process(name="sell", domain="selling")],
        journeys=[
            Journey(
                name="pay",
                macro_journey="use",
                stage="use",
                process="sell",
                owner="finance",
                steps=[
                    Step(name="choose", touchpoint="app"),
                    Step(name="charge", touchpoint="app", needs=["payment"], moment_of_truth=True),
                ],
            )
        ],
        probes=probes,
        indicators=[
            Indicator(
                name="success-ratio",
                of=Selector(kind="tcp", metric=SUCCESS),
                summary=Summary.RATIO,
                window_seconds=2.5 * PROBE_SECONDS,
                min_samples=2,
                dimension=Dimension.RELIABILITY,
                score=Score(worst=0.0, best=1.0),
                objective=Objective(at_least=0.6, for_seconds=chance.choice((0.0, 60.0)), clear_for_seconds=60.0),
                source="simulation",
            )
        ],
        grouping=Grouping(stable_seconds=300.0, relapse_within_seconds=1800.0, join_within_seconds=600.0),
        playbooks=[RecheckPlaybook(name="again")],
        policies=_policies(chance),
        channels=[
            Channel(name="mail", kind="email", to="customers", params={"address": "email"}, depends_on=["crm"]),
            Channel(name="text", kind="webhook", to="customers", params={"address": "sms"}, depends_on=["core"]),
            Channel(name="pager", kind="webhook", to="staff"),
        ],
        routes=[
            Route(name="noc", channel="pager"),
            Route(name="finance", channel="pager", owners=["finance"], qualities=["down"]),
        ],
    )


def _service(name: str) -> Service:
    return Service(
        name=name,
        function="f",
        domain=Domain.NETWORK if name in ("hlr", "core", "data", "voice") else Domain.IT,
        platform="p",
        depends_on=list(GRAPH[name]),
        sold=name in SOLD,
        critical=name == "emergency",
    )


def _policies(chance: random.Random) -> list[Policy]:
    quiet = QuietHours(start="22:00", end="07:00") if chance.random() < 0.7 else None
    common: dict[str, Any] = {
        "channels": ["mail", "text"],
        "hold_seconds": 60.0,
        "decide_by_seconds": 900.0,
        "stable_seconds": 600.0,
        "relapse_within_seconds": 1800.0,
        "join_within_seconds": 3600.0,
        "valid_for_seconds": 1800.0,
        "texts": {"en": _TEXT, "de": _TEXT},
    }
    return [
        Policy(
            name="outage",
            services=["data", "voice", "top-up"],
            mode=Mode.LIVE,
            ceiling=chance.choice((5, 15, 500)),
            bases=["contract", "consent"],
            quiet_hours=quiet,
            caps=[Cap(most=chance.choice((2, 4, 6)), window_seconds=86_400.0)],
            **common,
        ),
        Policy(
            name="emergency",
            services=["emergency"],
            message_class=MessageClass.SAFETY,
            mode=Mode.LIVE,
            ceiling=500,
            bases=["vital_interest", "legal_duty"],
            quiet_hours=quiet,
            **common,
        ),
        Policy(name="shop-news", services=["shop"], mode=Mode.SHADOW, bases=["contract"], quiet_hours=quiet, **common),
    ]


def variant(configuration: Configuration, chance: random.Random) -> Configuration:
    """The same operator after somebody edited the files, validly."""
    match chance.randrange(5):
        case 0:  # another target
            objective = Objective(at_least=chance.choice((0.5, 0.6, 0.7)), clear_for_seconds=60.0)
            indicators = [one.model_copy(update={"objective": objective}) for one in configuration.indicators]
            return configuration.model_copy(update={"indicators": indicators})
        case 1:  # a policy goes to shadow, or back
            policies = [
                one.model_copy(
                    update={"mode": Mode.SHADOW if one.mode is Mode.LIVE and one.name == "outage" else one.mode}
                )
                for one in configuration.policies
            ]
            return configuration.model_copy(update={"policies": policies})
        case 2:  # a service is retired with its probe
            gone = chance.choice(("shop", "emergency"))
            return configuration.model_copy(
                update={
                    "services": [one for one in configuration.services if one.name != gone],
                    "probes": [one for one in configuration.probes if one.service != gone],
                    "policies": [one for one in configuration.policies if gone not in one.services],
                    "touchpoints": [one for one in configuration.touchpoints if gone not in one.offers],
                }
            )
        case 3:  # another ceiling
            policies = [
                one.model_copy(update={"ceiling": chance.choice((10, 60, 500)) if one.ceiling else None})
                for one in configuration.policies
            ]
            return configuration.model_copy(update={"policies": policies})
        case _:  # one more route
            routes = [*configuration.routes, Route(name="extra", channel="pager", qualities=["down"])]
            return configuration.model_copy(update={"routes": routes})
