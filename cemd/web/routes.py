"""The table of routes as data: the application and the OpenAPI document are both made from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from cemd.web.asked import Asked, Nothing
from cemd.web.guard import Handler, Refused
from cemd.web.shapes import Shape

A = TypeVar("A", bound=Asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation. `query` and `body` say what comes in, `answer` what goes out (None: not JSON, see `media`)."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    handler: Handler
    answer: type[Shape] | None
    query: type[Asked] = Nothing
    body: type[BaseModel] | None = None
    media: str = "application/json"
    refusals: tuple[int, ...] = ()

    def parameters(self) -> list[str]:
        """Names of the parts of the path that vary."""
        return re.findall(r"\{(\w+)\}", self.path)


def get(
    path: str,
    name: str,
    summary: str,
    handler: Handler,
    answer: type[Shape] | None = None,
    *,
    tag: str,
    query: type[Asked] = Nothing,
    media: str = "application/json",
    refusals: tuple[int, ...] = (),
) -> Route:
    """A reading route of the table."""
    return Route(
        method="GET",
        path=path,
        name=name,
        tag=tag,
        summary=summary,
        handler=handler,
        answer=answer,
        query=query,
        media=media,
        refusals=refusals,
    )


def query_of(request: web.Request, asked: type[A]) -> A:
    """The query as a model.

    Raises:
        Refused: a parameter is unknown, given twice or out of range; all faults at once.
    """
    if len(set(request.query)) != len(request.query):
        raise Refused(400, "query", "a parameter is given twice", "give each once")
    try:
        return asked.model_validate(dict(request.query))
    except ValidationError as exc:
        raise _refused("query", exc) from exc


async def body_of(request: web.Request, asked: type[A], most: int) -> A:
    """The JSON body as a model.

    Raises:
        Refused: it is too large, is not JSON, or does not fit.
    """
    if (request.content_length or 0) > most:
        raise Refused(413, "body", f"more than {most} bytes", "send a shorter note")
    raw = await request.read()
    if len(raw) > most:
        raise Refused(413, "body", f"more than {most} bytes", "send a shorter note")
    try:
        return asked.model_validate_json(raw)
    except ValidationError as exc:
        raise _refused("body", exc) from exc


def _refused(place: str, exc: ValidationError) -> Refused:
    faults = "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or place}: {fault['msg'].lower()}"
        for fault in exc.errors(include_url=False, include_context=False, include_input=False)[:10]
    )
    return Refused(400, place, faults, "see /api/v1/openapi.json for what is allowed")
