"""Small kinds and a small valid set of files, so that these tests need no wing."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Annotated, Any, ClassVar, Literal

from cemd.config.base import FileModel
from cemd.config.params import Kinds
from pydantic import Field, model_validator


class Ping(FileModel):
    """Sends packets and counts answers."""

    target: str
    """Address or name to reach."""
    packets: Annotated[int, Field(ge=1, le=100)] = 10
    """Packets a burst."""
    gap_seconds: Annotated[float, Field(gt=0)] = 0.2


class Get(FileModel):
    get: str


class Wait(FileModel):
    wait: Get
    until: str


class Walk(FileModel):
    """Steps, one after the other."""

    run_time_values: ClassVar[bool] = True
    steps: list[Get | Wait]
    port: int = 80
    method: Literal["fast", "slow"] = "fast"
    password_file: str | None = None
    take: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_steps(self) -> Walk:
        if not self.steps:
            raise ValueError("there are no steps; write at least one")
        return self


class Mail(FileModel):
    host: str
    sender: str = "noc@example.net"


def text_fault(text: str) -> str | None:
    return "line 1: nobody is named in a text" if "customer" in text else None


KINDS = Kinds(probe_params={"ping": Ping, "walk": Walk}, channel_params={"mail": Mail}, text_fault=text_fault)

FILES: dict[str, str] = {
    "config/cemd.yaml": """\
        operator: {name: Example Telecom, zone: Europe/Berlin}
        intake:
          http: [counters]
        """,
    "config/channels.yaml": """\
        channels:
          - {name: mail, kind: mail, to: customers, params: {host: 127.0.0.1}}
          - {name: noc, kind: mail, to: staff, params: {host: 127.0.0.1}}
        routes:
          - {name: all, channel: noc}
        """,
    "config/catalogue/all.yaml": """\
        services:
          - {name: broadband, function: access, domain: network, platform: olt, sold: true, depends_on: [core]}
          - {name: core, function: transport, domain: network, platform: router}
        sites:
          - {name: north, zone: Europe/Berlin}
          - {name: east, parent: north}
        touchpoints:
          - {name: portal, channel: web, depends_on: [core]}
        processes:
          - {name: order-handling, domain: selling-and-billing}
        journeys:
          - name: order
            macro_journey: become-a-customer
            stage: onboard
            process: order-handling
            owner: sales-operations
            steps:
              - {name: choose, touchpoint: portal, needs: [broadband]}
        """,
    "probes/core.yaml": """\
        values: {core_host: 192.0.2.1, packets: "5"}
        probes:
          - name: core-east
            kind: ping
            service: broadband
            site: east
            every_seconds: 30
            timeout_seconds: 4
            params: {target: "{core_host}", packets: "{packets}"}
          - name: shop
            kind: walk
            service: broadband
            touchpoint: portal
            every_seconds: 60
            timeout_seconds: 20
            params: {steps: [{get: "/orders/{order}"}], take: {token: "$.token"}}
        """,
    "rules/analyze/core.yaml": """\
        indicators:
          - name: loss
            of: {kind: ping, metric: loss_ratio}
            summary: mean
            window_seconds: 300
            dimension: reliability
            score: {worst: 0.1, best: 0}
            objective: {at_most: 0.02, warn_at: 0.01}
            source: set by the house
        """,
    "rules/analyze/shop.yaml": """\
        indicators:
          - name: orders-pass
            of: {kind: walk, metric: success}
            summary: ratio
            window_seconds: 300
            dimension: assurance
            score: {worst: 0, best: 1}
            objective: {at_least: 0.9}
            source: set by the house
        """,
    "rules/improve/grouping.yaml": """\
        grouping: {confirm_sources: 2}
        playbooks:
          - {name: look-again}
        """,
    "rules/report/customers.yaml": """\
        policies:
          - name: faults
            services: [broadband]
            bases: [contract]
            channels: [mail]
            texts:
              en:
                first_subject: Fault
                first: A fault since {{ since }}.
                over_subject: Over
                over: It is over.
                correction_subject: Again
                correction: It is back.
        """,
}
"""A set without a fault."""


def write(root: Path, **changed: str) -> Path:
    """Writes the good set below `root`; `changed` replaces a file's text (`probes_core` -> probes/core.yaml)."""
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        key = name.removesuffix(".yaml").replace("/", "_")
        path.write_text(dedent(changed.pop(key, text)), encoding="utf-8")
    assert not changed, f"no such file: {changed}"
    return root


def edited(name: str, old: str, new: str) -> dict[str, str]:
    """The good set's file `name` with one place changed; line numbers stay when `new` has as many lines."""
    text = FILES[name]
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
    return {name.removesuffix(".yaml").replace("/", "_"): text.replace(old, new)}
