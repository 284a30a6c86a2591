"""From a scenario to what the daemon reads: the catalogue, probes and channels as files, beside the real rules.

The daemon's own loader then checks the whole, so that a rule about something that the scenario does not have is said
in the loader's words. Two things are changed of the rules: policies are live, and no audience is too large (nobody is
there to release it). Of the shipped rules, which speak of DemoTelco by name, indicators that nothing in this world can
ever feed are left out, and said; and kinds of probe that DemoTelco does not have are asked what `http` is asked:
whether they get their answer, and what `icmp` is asked, where they count lost packets: how many are lost.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from cemd.config.configuration import Configuration
from cemd.config.load import Kinds, load
from cemd.config.source import did_you_mean
from cemd.config.yaml import Tree, parse
from cemd.demo.files import shipped_root
from cemd.demo.world.reading import site_names
from cemd.demo.world.scenario import FeedRow, ProbeRow, Scenario
from cemd.errors import ConfigError, Fault
from cemd.model.measurement import SUCCESS
from cemd.model.notice import Mode

PARAMS: dict[str, dict[str, Any]] = {
    "tcp": {"host": "192.0.2.1", "port": 7},
    "http": {"url": "http://192.0.2.1/"},
    "dns": {"server": "192.0.2.1", "name": "www.demotelco.invalid"},
    "icmp": {"target": "192.0.2.1"},
    "command": {"command": ["/bin/true"]},
    "udp": {"host": "192.0.2.1", "port": 7, "send": "who is there"},
    "radius": {"host": "192.0.2.1", "user": "nobody", "secret_file": "/dev/null", "password_file": "/dev/null"},
    "diameter": {"host": "192.0.2.1", "origin_host": "nobody.invalid", "origin_realm": "invalid"},
    "transaction": {"steps": [{"name": "work", "http": {"get": "http://192.0.2.1/"}}]},
}
"""Valid parameters of kinds that ask for more than a host; nothing is ever sent."""
HOST = {"host": "192.0.2.1"}
LOSS = "loss_ratio"


def configuration_of(scenario: Scenario, rules: Path, kinds: Kinds) -> tuple[Configuration, tuple[str, ...]]:
    """What the daemon would read in this world, and the names of indicators that were left out.

    Args:
        scenario: The world.
        rules: A folder with `analyze/`, `improve/` and `report/`, as below `rules/`.
        kinds: The tables of kinds, for the loader.

    Raises:
        ConfigError: the rules do not fit the world.
    """
    if not rules.is_dir():
        raise ConfigError([Fault(str(rules), 0, 0, "there is no such folder of rules", "name one with --rules")])
    _check_kinds(scenario, kinds)
    files = _files(scenario, kinds)
    left_out: list[str] = []
    with tempfile.TemporaryDirectory(prefix="cemd-day-") as name:
        root = Path(name)
        shutil.copytree(rules, root / "rules")
        if rules.resolve() == (shipped_root() / "rules").resolve():
            _ask_other_kinds(root / "rules", scenario, kinds)
            left_out = _leave_out(root / "rules", scenario)
            _give_channels(files["config/channels.yaml"], root / "rules")
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(msgspec.json.encode(content))  # JSON is YAML
        configuration = load(root, kinds).configuration
    policies = [
        policy.model_copy(update={"mode": Mode.LIVE, "ceiling": max(policy.ceiling or 0, scenario.people.count)})
        for policy in configuration.policies
    ]
    return configuration.model_copy(update={"policies": policies}), tuple(left_out)


def _check_kinds(scenario: Scenario, kinds: Kinds) -> None:
    known = sorted(kinds.probe_params)
    faults = [
        Fault(
            scenario.name,
            0,
            0,
            f'probes[{place}] "{row.name}": unknown kind of probe "{row.kind}"{did_you_mean(row.kind, known)}',
            f"use one of {', '.join(known)}",
        )
        for place, row in enumerate(scenario.probes)
        if row.kind not in kinds.probe_params
    ]
    if faults:
        raise ConfigError(faults)


def _ask_other_kinds(rules: Path, scenario: Scenario, known: Kinds) -> None:
    """Gives each kind of probe in this world whose success no indicator looks at the one of `http`, under its name, and
    each whose loss none looks at the one of `icmp`."""
    found: list[dict[str, Any]] = []
    for path in sorted(rules.glob("analyze/*.yaml")):
        tree = parse(path.read_bytes(), path.name).tree
        indicators = tree.get("indicators") if isinstance(tree, dict) else None
        found += [one for one in indicators if isinstance(one, dict)] if isinstance(indicators, list) else []
    asked = {(one["of"].get("kind"), one["of"].get("metric")): one for one in found}
    made = []
    for metric, model, word in ((SUCCESS, "http", "answers"), (LOSS, "icmp", "loss")):
        gives = (metric in (known.metrics.get(row.kind) or ()) and metric in row.figures for row in scenario.probes)
        rows = [row for row, does in zip(scenario.probes, gives, strict=True) if does or metric == SUCCESS]
        kinds = dict.fromkeys(row.kind for row in rows if (row.kind, metric) not in asked)
        if rule := asked.get((model, metric)):
            made += [{**rule, "name": f"{kind}-{word}", "of": {"kind": kind, "metric": metric}} for kind in kinds]
    if made:
        (rules / "analyze" / "other-kinds.yaml").write_bytes(msgspec.json.encode({"indicators": made}))


def _leave_out(rules: Path, scenario: Scenario) -> list[str]:
    """Takes the indicators out of the files that nothing here can feed; returns their names."""
    left_out: list[str] = []
    for path in sorted(rules.glob("**/*.yaml")):
        tree = parse(path.read_bytes(), path.name).tree
        if not isinstance(tree, dict) or not isinstance(found := tree.get("indicators"), list):
            continue
        kept = [one for one in found if not isinstance(one, dict) or _can_be_fed(one.get("of"), scenario)]
        if len(kept) < len(found):
            left_out += [str(one["name"]) for one in found if one not in kept and isinstance(one, dict)]
            path.write_bytes(msgspec.json.encode({**tree, "indicators": kept}))
    return left_out


def _give_channels(configuration: Mapping[str, Any], rules: Path) -> None:
    """Policies of the shipped rules whose channels this world does not have use those that it has."""
    names = [one["name"] for one in configuration["channels"] if one.get("to") == "customers"]
    for path in sorted(rules.glob("report/*.yaml")):
        tree = parse(path.read_bytes(), path.name).tree
        if not isinstance(tree, dict) or not isinstance(policies := tree.get("policies"), list) or not names:
            continue
        lost = [one for one in policies if isinstance(one, dict) and not set(names) & set(one.get("channels") or [])]  # type: ignore[arg-type]
        for one in lost:
            one["channels"] = list(names)
        if lost:
            path.write_bytes(msgspec.json.encode(tree))


def _can_be_fed(of: Tree, scenario: Scenario) -> bool:
    """Whether some row of the world gives a series that the selector looks at; also of a malformed one, which the
    loader refuses."""
    if not isinstance(of, dict):
        return True
    if "source" in of:
        return of["source"] in ("http:journeys", *(one.source for one in scenario.feeds))
    if not {"probe", "kind"} & set(of):
        return True
    words = {"probe": "name", "kind": "kind", "service": "service", "touchpoint": "touchpoint"}
    return any(
        all(of[word] == getattr(row, key) for word, key in words.items() if word in of) for row in scenario.probes
    )


def _files(scenario: Scenario, kinds: Kinds) -> dict[str, Any]:
    sources = dict.fromkeys(["http:journeys", *(feed.source for feed in scenario.feeds)])
    names = {
        kind: [one.partition(":")[2] for one in sources if one.startswith(f"{kind}:")] for kind in ("mqtt", "http")
    }
    settings = {
        "operator": scenario.operator.model_dump(),
        "tick_seconds": scenario.calendar.tick_seconds,
        "vantage": scenario.vantages[0].name,
        "vantages": [{"name": one.name} for one in scenario.vantages],
        "intake": {
            "mqtt": [{"name": one, "host": "127.0.0.1", "topics": ["#"]} for one in names["mqtt"]],
            "http": names["http"],
        },
    }
    given = {one.name: one.model_dump(exclude_none=True) for one in scenario.sites}
    sites = [
        given.get(name) or {"name": name, "kind": kind, "parent": parent}
        for name, (kind, parent) in site_names(scenario).items()
    ]
    catalogue = {
        section: [one.model_dump(mode="json", exclude_none=True) for one in getattr(scenario, section)]
        for section in ("services", "touchpoints", "processes", "journeys")
    }
    probes = [_probe(row, site, kinds) for row in scenario.probes for site in places(row, scenario)]
    return {
        "config/cemd.yaml": settings,
        "config/channels.yaml": {"channels": [one.model_dump(mode="json") for one in scenario.channels]},
        "config/catalogue/world.yaml": {**catalogue, "sites": sites},
        "probes/world.yaml": {"probes": probes},
    }


def places(row: ProbeRow | FeedRow, scenario: Scenario) -> list[str]:
    """The sites of a row; "" where it has none."""
    if row.site_kind is None:
        return [row.site or ""]
    return [name for name, (kind, _) in site_names(scenario).items() if kind == row.site_kind]


def probe_name(row: ProbeRow, site: str) -> str:
    return f"{row.name}-{site}" if row.site_kind is not None else row.name


def _probe(row: ProbeRow, site: str, kinds: Kinds) -> dict[str, Any]:
    asks_host = "host" in kinds.probe_params[row.kind].model_fields
    made: dict[str, Any] = {
        "name": probe_name(row, site),
        "kind": row.kind,
        "service": row.service,
        "vantages": row.vantages,
        "every_seconds": row.every_seconds,
        "timeout_seconds": row.timeout_seconds,
        "moment_of_truth": row.moment_of_truth,
        "params": PARAMS.get(row.kind, HOST if asks_host else {}) if row.params is None else row.params,
    }
    if site:
        made["site"] = site
    if row.touchpoint is not None:
        made["touchpoint"] = row.touchpoint
    return made
