"""What comes in: commands of people, and measurements pushed by programs. Both are answered only when logged."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from cemd.model.entry import Command, CommandKind
from cemd.model.finding import LEARNT
from cemd.model.incident import IncidentState
from cemd.web import documents
from cemd.web.asked import CommandAsked, Nothing
from cemd.web.desk import Desk
from cemd.web.guard import COMMAND_BYTES, Refused, refusal
from cemd.web.present import OVER
from cemd.web.routes import Route, body_of, query_of

PUSH_BYTES = 8 * 1024 * 1024
PUSHES_AT_ONCE = 8
"""Bodies in memory at once; who comes while all are busy is told to come back."""
READ_SECONDS = 20.0
LOG_SECONDS = 20.0
FINDING = re.compile(r"fnd-[0-9a-f]{12}")

NEVER_TAKEN = {404: "name the source under `intake: http` of config/cemd.yaml, and reload"}
WRONG_BODY = (
    'send {"metric": "sessions_count", "value": 412}, or a list of such; `labels`, `target` and `at` may be added'
)

ON_INCIDENT = {
    CommandKind.ACKNOWLEDGE: "Somebody works on it.",
    CommandKind.CONFIRM: "The cause is right: customers may hear of it.",
    CommandKind.CLOSE: "It is dealt with.",
    CommandKind.CANCEL: "It never was one.",
}
_OPEN = frozenset(IncidentState) - frozenset(OVER)
POSSIBLE = {
    CommandKind.ACKNOWLEDGE: (_OPEN, "it is over: there is nothing to take in hand"),
    CommandKind.CONFIRM: (_OPEN, "it is over: nobody is told of its cause any more"),
    CommandKind.CLOSE: (frozenset((IncidentState.RESOLVED,)), "close it when it is resolved, or cancel it now"),
    CommandKind.CANCEL: (_OPEN, "it is over already"),
}
"""States of an incident in which a command has an effect, and what to say in the others. The core looks again."""
ON_FINDING = {
    CommandKind.LABEL_TRUE: "It was a fault: what was measured meanwhile is kept out of the baseline.",
    CommandKind.LABEL_FALSE: "It was none: the detector asks for more before it says so again.",
    CommandKind.LABEL_BENIGN: "It is the new normal: the baseline is learnt anew at once.",
}
ON_COMMUNICATION = {
    CommandKind.RELEASE: "Send what is held.",
    CommandKind.DECLINE: "Tell nobody.",
}
RUN_SUMMARY = "Measure at once, beside the schedule, ten times a minute at most; while it runs, once more afterwards."
ON_ALL = {
    CommandKind.KILL: "Stop every message to customers at once.",
    CommandKind.UNKILL: "Let messages to customers leave again.",
    CommandKind.RELEASE: "Lift the hold after a restore as a whole.",
}


def _refusals(path: str) -> tuple[int, ...]:
    """What a command may be answered with, beside what any request may."""
    if "{" not in path:
        return ()
    return (404,) if path.startswith("communications/") else (404, 409)


async def _asked(request: web.Request) -> CommandAsked:
    query_of(request, Nothing)
    async with asyncio.timeout(READ_SECONDS):
        return await body_of(request, CommandAsked, COMMAND_BYTES)


class Commands:
    """Writing."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pushes = 0

    def routes(self) -> tuple[Route, ...]:
        def post(path: str, kind: CommandKind, summary: str, tag: str, name: str = "") -> Route:
            return Route(
                method="POST",
                path=f"/api/v1/{path}{kind.value}",
                name=name or kind.value,
                tag=tag,
                summary=summary,
                handler=self._handler(kind, "{" in path),
                answer=documents.CommandDoc,
                body=CommandAsked,
                refusals=_refusals(path),
            )

        return (
            *(post("incidents/{incident}/", kind, words, "incidents") for kind, words in ON_INCIDENT.items()),
            *(post("findings/{finding}/", kind, words, "incidents") for kind, words in ON_FINDING.items()),
            *(
                post("communications/{communication}/", kind, words, "customers")
                for kind, words in ON_COMMUNICATION.items()
            ),
            *(post("", kind, words, "customers", f"{kind.value}_all") for kind, words in ON_ALL.items()),
            Route(
                method="POST",
                path="/api/v1/probes/{probe}/run",
                name="run",
                tag="series",
                summary=RUN_SUMMARY,
                handler=self.run,
                answer=documents.RunDoc,
                body=CommandAsked,
                refusals=(404, 429),
            ),
            Route(
                method="POST",
                path="/api/v1/measurements/{source}",
                name="push",
                tag="series",
                summary="Push measurements; answered when they are logged.",
                handler=self.push,
                answer=documents.PushDoc,
                refusals=(404, 429),
            ),
        )

    def _handler(self, kind: CommandKind, with_subject: bool) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            asked = await _asked(request)
            subject = self._subject(kind, request) if with_subject else ""
            if kind in ON_FINDING:
                await self._learnt(subject)
            seq = await self._log(kind, asked, subject)
            answer = documents.CommandDoc(seq=seq, kind=kind.value, subject=subject)
            return web.Response(body=answer.model_dump_json().encode(), content_type="application/json")

        return handle

    async def run(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v1/probes/{probe}/run."""
        asked, name = await _asked(request), request.match_info["probe"]
        found = await self._desk.house.who_runs(name)
        if found is None:
            fact = f"no probe of the files has the name or uid {name[:80]!r}"
            raise Refused(404, "probe", fact, "`cemd check --json` lists them; what others push is not asked for")
        seq = await self._log(CommandKind.RUN, asked, found.probe)
        if refused := await self._desk.house.run_refused(seq):
            fact, _, remedy = refused.removesuffix(".").partition("; ")
            raise Refused(429, "probe", f"{found.probe} does not run (entry {seq}): {fact}", remedy)
        answer = documents.RunDoc(
            seq=seq, kind=CommandKind.RUN.value, subject=found.probe, probers=found.probers, active=found.active
        )
        return web.Response(body=answer.model_dump_json().encode(), content_type="application/json")

    async def _log(self, kind: CommandKind, asked: CommandAsked, subject: str) -> int:
        command = Command(kind=kind, actor=asked.actor, subject=subject, note=asked.note)
        async with asyncio.timeout(LOG_SECONDS):
            return await self._desk.house.command(command)

    def _subject(self, kind: CommandKind, request: web.Request) -> str:
        """The id in the path, which must be one that the view knows."""
        if kind in ON_INCIDENT:
            return self._incident(kind, request.match_info["incident"])
        if kind in ON_FINDING:
            name = request.match_info["finding"]
            if FINDING.fullmatch(name) is None:
                raise Refused(404, "finding", f"{name[:80]!r} is no id of a finding", "see /api/v1/findings")
            return name  # it may have ended: `_learnt` looks at the rows
        name = request.match_info["communication"]
        if all(one.communication.id != name for one in self._desk.views().report.communications):
            raise Refused(404, "communication", f"nobody knows {name[:80]!r}", "see /api/v1/communications")
        return name

    def _incident(self, kind: CommandKind, name: str) -> str:
        """An incident of which the command can be obeyed as it stands now."""
        found = next((one for one in self._desk.views().incidents if one.id == name), None)
        if found is None:
            raise Refused(404, "incident", f"nobody knows {name[:80]!r}", "see /api/v1/incidents")
        states, remedy = POSSIBLE[kind]
        if found.state not in states:
            raise Refused(409, "incident", f"{name!r} is {found.state}", remedy)
        return name

    async def _learnt(self, finding: str) -> None:
        """Refuses a label that would teach nobody: of a finding that is not known, or that a rule made."""
        chain = await self._desk.house.explain(finding) or {}
        kept = next((one for one in chain.get("findings", ()) if one.get("id") == finding), None)
        if kept is None:
            raise Refused(404, "finding", f"nobody knows {finding!r}", "see /api/v1/findings")
        if kept.get("condition") not in LEARNT:
            fact = f"{finding!r} is of the condition {kept.get('condition')}, which no detector learns"
            raise Refused(409, "finding", fact, "change its rule under rules/analyze, or label an anomaly")

    async def push(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v1/measurements/{source}."""
        if self._pushes >= PUSHES_AT_ONCE:
            raise Refused(503, request.path[:200], f"{PUSHES_AT_ONCE} pushes are under way", "send it again later")
        self._pushes += 1
        try:
            return await self._pushed(request, request.match_info["source"])
        finally:
            self._pushes -= 1

    async def _pushed(self, request: web.Request, source: str) -> web.StreamResponse:
        async with asyncio.timeout(READ_SECONDS):
            body = await request.read()
        async with asyncio.timeout(LOG_SECONDS):
            answer = await self._desk.house.push(source, body)
        if answer.status >= 400:
            retry = {"Retry-After": "5"} if answer.status in (429, 503) else None
            fact = answer.message or "the measurements were refused"
            return refusal(
                answer.status,
                f"measurements of {source[:80]!r}",
                fact,
                "send them again later" if retry else NEVER_TAKEN.get(answer.status, WRONG_BODY),
                retry,
            )
        document = {
            "accepted": answer.accepted,
            "refused": answer.refused,
            "unjudged": answer.unjudged,
            "message": answer.message,
        }
        return web.Response(status=answer.status, body=msgspec.json.encode(document), content_type="application/json")
