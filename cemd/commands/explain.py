"""`cemd explain`: the chain behind a record, or the parameters of a kind."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

import click
import msgspec

from cemd.commands.looking import found_places, state_rows
from cemd.commands.people import number_of, state_word
from cemd.config.reference import explained, topics
from cemd.config.source import did_you_mean
from cemd.daemon.explain import explain, explain_customer
from cemd.daemon.kinds import kinds
from cemd.errors import CemdError
from cemd.kit.words import counted
from cemd.model.finding import Condition
from cemd.model.identity import SeriesId
from cemd.model.measurement import SeriesKey
from cemd.model.subject import Subject, SubjectKind
from cemd.monitor.intake.samples import FIELDS, MAX_BODY, MAX_SAMPLES
from cemd.report.customers import COLUMNS
from cemd.store.sqlite import find_attempts, find_series

_PEOPLE = ("customers", "customer")
_CUSTOMERS = (
    "a CSV file of the people whom notices can reach; its first line names the columns, all of them, in this order."
)
_REACHED = """Name the file in config/cemd.yaml:

  customers: {file: customers.csv}

`cemd check` says whether it is there, `cemd customers check FILE` reads it and prints every fault; a reload loads it
again when it changed. A policy decides who of them is told of what (`cemd explain policy`), through a channel with
`to: customers` (`cemd explain channel`), of problems that are confirmed alone (`confirm_sources` in
`cemd explain grouping`). Why one was told or not: `cemd explain INCIDENT --customer REFERENCE`."""
_PUSH = ("push", "pushed", "measurements")
_PUSHED = "what other systems send by themselves, over MQTT or HTTP: a JSON object, or a list of them."
_EXAMPLE = """  {"metric": "loss_ratio", "value": 0.012, "labels": {"service": "broadband", "site": "east"}}"""
_WAYS = f"""`metric` and `value` are needed. What is wrong is refused measurement by measurement, counted and logged,
also a key that stands not here, and what looks like the address of a person. What was refused, or is judged by nobody,
within the last hour stands on the page and in `cemd status`.
At most {MAX_SAMPLES} in one message, of {MAX_BODY // 1024**2} MiB.

Name who may send in config/cemd.yaml (`cemd explain settings`):

  intake:
    mqtt: [{{name: telemetry, host: 127.0.0.1, topics: ["network/#"]}}]   # its series: source "mqtt:telemetry"
    http: [counters]                                                    # source "http:counters"

  mosquitto_pub -q 1 -t network/olt-7 -m '{{"metric": …}}'
  curl -H 'Content-Type: application/json' -H 'X-Cemd-Request: 1' --data @samples.json \\
    http://127.0.0.1:8480/api/v1/measurements/counters
    # with a push token instead of the second header: -H 'Authorization: Bearer TOKEN'

An indicator looks at it with `of: {{source: "mqtt:telemetry", metric: loss_ratio}}` (`cemd explain indicator`)."""
MOST_PROBES = 5
ATTEMPTS_SHOWN = 3
"""Failed attempts shown of each of the first few probes behind a finding."""
ATTEMPTS_READ = 60
"""Of each, so that some are of the vantage points that see it."""


def print_explanation(what: str, *, customer: str | None, root: Path, state: Path | None, as_json: bool) -> None:
    """Prints what is known of an id or of a kind.

    Raises:
        CemdError: nobody knows it.
    """
    page = _page_of(what)
    if page is not None and customer is None:
        click.echo(json.dumps({"topic": what, "text": page}) if as_json else page)
        return
    if re.search(r"[-/]", what) is None:  # every id has one: no state is needed to say so
        known = [*topics(kinds()), _PEOPLE[0], _PUSH[0]]
        near = did_you_mean(what, known)
        raise CemdError(
            f'"{what}" is no id and nothing of the files{near}; the page shows ids, and these words are known: '
            f"{', '.join(sorted(known))}."
        )
    chain = explain(state_rows(root, state), what)
    if chain is None:
        raise CemdError(
            f'"{what}" is no id that state.db knows and nothing of the files; the page and `cemd notices` show ids, '
            "`cemd explain icmp` explains a kind of probe, `cemd explain policy` a part of the files."
        )
    chain = _with_series(chain, root, state)
    if customer is not None:
        chain = _for_customer(chain, customer, root, state)
    click.echo(json.dumps(chain, indent=2) if as_json else "\n".join(_lines(chain)))


def print_words(*, as_json: bool) -> None:
    """Prints every word of the files that can be explained, with the place where it is written."""
    known = topics(kinds()) | {
        _PEOPLE[0]: ("the file that `customers` in config/cemd.yaml names", _CUSTOMERS),
        _PUSH[0]: ("what is pushed (`intake` in config/cemd.yaml)", _PUSHED),
    }
    if as_json:
        words = [{"word": word, "place": place, "about": about} for word, (place, about) in known.items()]
        click.echo(json.dumps(words, indent=2))
        return
    places: dict[str, list[str]] = {}
    for word, (place, about) in known.items():
        places.setdefault(place.partition(",")[0], []).append(f"  {word:<14}{about}")
    for place, lines in places.items():
        click.echo("\n".join((place, *lines, "")))
    click.echo("`cemd explain WORD` tells its keys; `cemd explain ID` why something happened.")


def _page_of(word: str) -> str | None:
    """What is printed of a word of the files; None where it is none."""
    if word in _PEOPLE:
        return _customer_file()
    return _pushed() if word in _PUSH else explained(word, kinds())


def _pushed() -> str:
    """What `cemd explain push` prints."""
    fields = []
    for name, words in FIELDS.items():
        fields += textwrap.wrap(words, 100, initial_indent=f"  {name:<9}", subsequent_indent=" " * 11)
    return "\n".join(("push: " + _PUSHED, "", _EXAMPLE, "", *fields, "", _WAYS))


def _customer_file() -> str:
    """What `cemd explain customers` prints."""
    columns = [f"  {name:<11}{words}" for name, words in COLUMNS.items()]
    return "\n".join(("customers: " + _CUSTOMERS, "", *columns, "", _REACHED))


def unconcerned(communication: dict[str, Any]) -> str:
    """Why no decision names a customer."""
    name, about = communication["id"], ", ".join(communication["services"])
    place = f" at {', '.join(communication['sites'])}" if communication["sites"] else ""
    if not communication["decisions"]:
        return f"{name} has decided nothing about anybody so far."
    return (
        f"{name} does not concern this customer: when it was decided, the customer file did not name them as one who"
        f" has {about}{place}."
    )


def _with_series(chain: dict[str, Any], root: Path, state: Path | None) -> dict[str, Any]:
    """The chain with what the series of its findings measure, by number."""
    numbers = dict.fromkeys(number for one in chain["findings"] for number in one["evidence"]["series"])
    folder = found_places(root, state).state
    known = find_series(folder, map(SeriesId, numbers))
    findings = [{**one, "attempts": _attempts(one, known, folder)} for one in chain["findings"]]
    series = {str(number): msgspec.to_builtins(key) for number, key in known.items()}
    return {**chain, "findings": findings, "series": series}


def _attempts(finding: dict[str, Any], known: dict[SeriesId, SeriesKey], folder: Path) -> list[dict[str, Any]]:
    """The last failed attempts that a finding stands on, of its first few probes; the newest first. While it is open
    they go on. Silence has none: what is silent made no attempt, and those of the same probe elsewhere are no evidence
    of it; nor are those from where it is not seen."""
    evidence = finding["evidence"]
    if finding["condition"] == Condition.SILENCE:
        return []
    keys = [known[number] for number in map(SeriesId, evidence["series"]) if number in known]
    probes = dict.fromkeys(key.probe for key in keys)
    seen_from = {"", *(evidence["failing"] or (key.vantage for key in keys))}
    before = inf if finding["open"] else finding["at"] + 1.0
    found = []
    for probe in list(probes)[:MOST_PROBES]:
        kept = find_attempts(folder, probe, most=ATTEMPTS_READ, before=before)
        found += [one for one in kept if one.vantage in seen_from][:ATTEMPTS_SHOWN]
    return [asdict(one) for one in found]


def _for_customer(chain: dict[str, Any], customer: str, root: Path, state: Path | None) -> dict[str, Any]:
    number = number_of(customer, root, state)
    rows = state_rows(root, state)
    told = {one["id"]: explain_customer(rows, one["id"], number) for one in chain["communications"]}
    return {**chain, "customer": told}


def _lines(chain: dict[str, Any]) -> Iterator[str]:
    """The chain for people: from what was measured to who was told."""
    for finding in chain["findings"]:
        yield from _finding(finding, chain["series"])
    for incident in chain["incidents"]:
        yield from _incident(incident)
    for alert in chain["alerts"]:
        yield f"alert to {alert['route']}: {alert['state']}; {_staff_know(alert)}"
    for communication in chain["communications"]:
        yield from _communication(communication)
        if communication["waits"]:
            yield f"  {communication['waits']}"
    for communication, steps in chain.get("customer", {}).items():
        nothing = unconcerned(next(one for one in chain["communications"] if one["id"] == communication))
        yield f"this customer in {communication}:" if steps else nothing
        for step in steps:
            yield f"  {_at(step['at'])} {step['stage']} {step['phase']}: {step.get('reason') or step.get('state')}"


def _staff_know(alert: dict[str, Any]) -> str:
    if alert["told_revision"] < 0:
        return "staff were told nothing so far"
    return (
        "staff were told of it, not yet that it is over" if alert["told_firing"] else "staff were told that it is over"
    )


def _finding(finding: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    evidence = finding["evidence"]
    series = ", ".join(_series(number, known.get(str(number))) for number in evidence["series"])
    value, threshold = _value(evidence["value"]), _value(evidence["threshold"])
    of = f" of {finding['indicator']}" if finding["indicator"] else ""  # silence is that of a whole probe
    yield f"finding {finding['id']}: {finding['condition']}{of} on {_subject(finding)}"
    by = finding["probe"] or "several probes"
    over = not finding["open"]
    ended = f", ended {_at(finding['at'])}" if over else ", still open"
    of_vantage = finding["subject"]["kind"] == SubjectKind.VANTAGE
    yield f"  {_begun(finding)}{ended}{'' if of_vantage else f', measured by {by}'}"
    if of_vantage:
        pass  # what it measures, and since when nothing comes, stands in the note
    elif finding["condition"] == Condition.SILENCE:
        yield f"  nothing more is heard of {series}"
    else:
        yield f"  value {value} against {threshold}, {evidence['samples']} samples of {series}"
        yield from _views(evidence)
    if finding["waits"]:
        yield f"  opens no incident yet: {finding['waits']} How long that counts: `cemd explain grouping`."
    if evidence["note"]:
        yield f"  {evidence['note']}"
    if evidence["breach_at"]:
        ahead = f"breach at {_at(evidence['breach_at'])}, {_value(evidence['slope_per_hour'])} an hour"
        yield f"  forecast: {ahead}, chance {evidence['confidence']:.0%}"
    if evidence["until"] and not over and finding["condition"] != Condition.SILENCE:
        yield f"  that is as of {_at(evidence['until'])}: it is said anew when it turns; the page shows how it is now"
    for one in finding["attempts"]:
        yield f"  {_at(one['at'])} {_attempt(one)}"
    if finding["label"]:
        yield f"  labelled {finding['label']}"


def _attempt(one: dict[str, Any]) -> str:
    seen_from = f" from {one['vantage']}" if one["vantage"] else ""
    how = f"{one['outcome'].replace('_', ' ')}, {one['reason']} after {one['seconds']:.3f} s"
    return f"{one['probe']}{seen_from}: {how}" + (f" ({one['detail']})" if one["detail"] else "")


def _begun(finding: dict[str, Any]) -> str:
    """Since when the samples show it, and when it was found: it takes a while until it is sure."""
    since, found = finding["evidence"]["since"], finding["began_at"]
    return f"since {_at(since)}, found {_at(found)}" if since and found - since >= 1.0 else f"since {_at(found)}"


def _views(evidence: dict[str, Any]) -> Iterator[str]:
    """Which vantage points see it, where any is named."""
    words = (("failing", "seen from"), ("well", "not from"), ("blind", "could not look:"))
    said = [f"{word} {', '.join(evidence[name])}" for name, word in words if evidence[name]]
    if said:
        yield f"  {'; '.join(said)}"


def _series(number: int, key: dict[str, Any] | None) -> str:
    if key is None:
        return f"series {number}"
    labels = "".join(f" {name}={value}" for name, value in key["labels"])
    target = f" of {key['target']}" if key["target"] else ""
    return f"{key['metric']}{target}{labels} by {key['probe']} from {key['vantage']} (series {number})"


def _incident(incident: dict[str, Any]) -> Iterator[str]:
    cause, impact = incident["cause"], incident["impact"]
    taken = incident["state"] != "acknowledged" or incident["acknowledged_by"]
    state = incident["state"] if taken else "open, taken by nobody yet"
    yield f"incident {incident['id']}: {state}, {incident['quality']}, on {_subject(incident)}"
    yield f"  cause: {cause['service'] or 'undetermined'} ({cause['confidence']})"
    for reason in cause["reasons"]:
        yield f"    because {reason}"
    yield f"  hurts {counted(impact['customers'], 'customer')} in {', '.join(impact['journeys']) or 'no journey'}"
    for item in incident["timeline"]:
        yield f"  {_at(item['at'])} {item['what']} ({item['by']})"


def _communication(communication: dict[str, Any]) -> Iterator[str]:
    policy = f"policy {communication['policy']} ({communication['mode']})"
    state = state_word(communication)
    yield f"communication {communication['id']}: {state}, {policy} {communication['reason']}".rstrip()
    for decision in communication["decisions"]:
        counts = ", ".join(f"{reason} {count}" for reason, count in decision["counts"].items())
        yield f"  {_at(decision['at'])} {decision['stage']} {decision['phase']}: {counts}"
    for phase, states in communication["notices"].items():
        yield f"  notices {phase}: " + ", ".join(f"{state} {count}" for state, count in states.items())


def _subject(record: dict[str, Any]) -> str:
    return str(msgspec.convert(record["subject"], Subject))


def _at(instant: float) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _value(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6g}"
