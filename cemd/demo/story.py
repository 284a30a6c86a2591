"""Follows the daemon through its HTTP API and tells what happens as lines for people: each change is told once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from cemd.demo.conditions import Fault
from cemd.demo.house import how_to_call
from cemd.demo.sinks import Mail, text_of
from cemd.demo.verdict import Subjects
from cemd.kit.words import counted

MEANING = {
    "holding": "customers are told only if it lasts",
    "stabilising": "it works again; the all-clear leaves only if it stays so",
}
Say = Callable[[str, str], None]
"""Takes a mark (one word) and a sentence."""


class Api:
    """The few reading calls of the demo."""

    def __init__(self, client: aiohttp.ClientSession, page: str) -> None:
        self._client = client
        self._page = page

    async def is_ready(self) -> bool:
        """True when the daemon works and knows its customers."""
        try:
            async with self._client.get(f"{self._page}readyz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def document(self, name: str) -> Mapping[str, Any]:
        """One document of the API; empty while the daemon does not answer."""
        try:
            async with self._client.get(f"{self._page}api/v1/{name}") as answer:
                found: Mapping[str, Any] = await answer.json() if answer.status == 200 else {}
                return found
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return {}

    async def items(self, name: str) -> list[Mapping[str, Any]]:
        return list((await self.document(name)).get("items", []))


class Story:
    """Remembers what was told, so that only news is told."""

    def __init__(self, say: Say, subjects: Subjects, scratch: Path) -> None:
        self._say = say
        self._subjects = subjects
        self._scratch = scratch
        self._cemd = how_to_call()
        self._told: set[tuple[str, ...]] = set()
        self._mails = 0
        self._phases: dict[str, int] = {}
        self._counted_at = 0.0

    def fault_began(self, fault: Fault) -> None:
        self._say("fault", f"{fault.name}: {fault.service} has {_words_for(fault)} (only the demo knows)")

    def fault_ended(self, fault: Fault) -> None:
        self._say("fault", f"{fault.name}: {fault.service} is mended")

    def look(
        self,
        incidents: Sequence[Mapping[str, Any]],
        communications: Sequence[Mapping[str, Any]],
        mails: Sequence[Mail],
        since: float | None,
    ) -> None:
        """Tells what is new.

        Args:
            incidents: As the API has them.
            communications: As the API has them.
            mails: All that the sink received.
            since: When the last fault began, s since 1970.
        """
        for incident in incidents:
            self._incident(incident, since)
        for communication in communications:
            self._communication(communication)
        self._received(mails)

    def _once(self, *words: str) -> bool:
        if words in self._told:
            return False
        self._told.add(words)
        return True

    def _incident(self, incident: Mapping[str, Any], since: float | None) -> None:
        name, cause, impact = incident["id"], incident["cause"], incident["impact"]
        if self._once(name, "opened"):
            after = f" {incident['opened_at']['epoch'] - since:.0f} s after the fault began" if since else ""
            self._say("incident", f"{name} opened{after}: {incident['subject']['title']} is {incident['quality']}")
        if cause["service"] and self._once(name, "cause", cause["service"]):
            self._say("incident", f"{name} cause: {cause['title'] or cause['service']} ({cause['confidence']})")
            for reason in cause["reasons"][:3]:
                self._say("", f"  {reason}")
            self._say("", f"  the whole chain: {self._cemd} explain {name} --root {self._scratch}")
        journeys = ", ".join(impact["journeys"])
        if impact["customers"] and self._once(name, "impact", journeys, str(impact["customers"])):
            hurt = counted(impact["customers"], "customer")
            self._say("incident", f"{name} hurts {hurt}; journeys: {journeys or 'none'}")
        if incident["confirmed_at"] and self._once(name, "confirmed"):
            self._say("incident", f"{name} confirmed by {incident['confirmed_by']}: customers may hear of it")
        if incident["state"] in ("resolved", "closed") and self._once(name, "resolved"):
            self._say("incident", f"{name} resolved")
        if incident["state"] == "cancelled" and self._once(name, "cancelled"):
            last = incident["timeline"][-1]["what"] if incident["timeline"] else "cancelled"
            self._say("incident", f"{name} {last}")

    def _communication(self, communication: Mapping[str, Any]) -> None:
        name, state = communication["id"], communication["state"]
        if self._once(name, state, str(communication["reopened"])):
            services = ", ".join(communication["services"])
            meaning = f": {MEANING[state]}" if state in MEANING else ""
            self._say("people", f"{name} about {services}: {state}{meaning}")
        counted = communication["reasons"].items()
        reasons = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in counted if count)
        if reasons and self._once(name, "reasons", reasons):
            self._say("", f"  decided for each of them: {reasons}")

    def _received(self, mails: Sequence[Mail]) -> None:
        for mail in mails[self._mails :]:
            phase = self._subjects.phase_of(mail.subject)
            self._phases[phase] = self._phases.get(phase, 0) + 1
            if self._once("mail", phase):
                path = self._scratch / "sink" / "mail" / mail.file
                self._say("mail", f'first "{phase}" mail: "{mail.subject}", to read in {path}')
                for line in text_of(path):
                    self._say("", f"  | {line}")
        if len(mails) > self._mails or self._counted_at == 0.0:
            self._counted_at = time.monotonic()
        elif self._phases and time.monotonic() - self._counted_at > 2 and self._once("count", str(self._phases)):
            counts = ", ".join(f"{count} {phase}" for phase, count in self._phases.items())
            self._say("mail", f"received so far: {counts}")
        self._mails = len(mails)


def _words_for(fault: Fault) -> str:
    match fault.mode:
        case "outage":
            return "an outage"
        case "latency":
            return f"{fault.amount:g} s more to wait"
        case "errors":
            return f"{100 * fault.amount:.0f} % errors"
        case _:
            return "wrong answers"
