"""The OpenAPI 3.1 document, made from the table of routes and the models of the shapes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from cemd.web.asked import Asked
from cemd.web.documents import ErrorDoc
from cemd.web.guard import FORGERY_HEADER
from cemd.web.routes import Route

REFERENCE = "#/components/schemas/{model}"
ABOUT = (
    "Commands and pushes need Content-Type application/json, and either a bearer token or, where no token is set, "
    f"the header {FORGERY_HEADER}."
)
REFUSALS = {
    400: "A parameter or the body does not fit.",
    401: "The token is missing or wrong.",
    403: "The request looks forged: it comes from another site, or lacks the header.",
    404: "Nobody knows this id.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    409: "What it speaks of cannot be changed this way.",
    429: "Too much at once: come back later.",
    503: "Not now: no view yet, or the daemon is busy.",
}


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The whole API."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ErrorDoc, "serialization")]
    wanted += [(route.answer, "serialization") for route in routes if route.answer]
    wanted += [(route.body, "validation") for route in routes if route.body]
    _, schemas = models_json_schema(list(dict.fromkeys(wanted)), ref_template=REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "cemd",
            "version": version,
            "summary": "Views of one tick, commands, and pushed measurements.",
            "description": ABOUT,
        },
        "paths": paths,
        "components": {
            "schemas": schemas.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {route.media: {}}
    if route.answer:
        content[route.media] = {"schema": {"$ref": _reference(route.answer)}}
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route.query), *_forgery(route)],
        "responses": {
            "200": {"description": "As asked.", "content": content},
            **{
                str(status): {
                    "description": REFUSALS[status],
                    "content": {"application/json": {"schema": {"$ref": _reference(ErrorDoc)}}},
                }
                for status in sorted({*route.refusals, *_common(route)})
            },
        },
    }
    if route.body:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": _reference(route.body)}}},
        }
    elif route.method == "POST":
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"type": ["object", "array"]}}},
        }
    if route.method == "POST":
        operation["security"] = [{}, {"token": []}]
    return operation


def _common(route: Route) -> Iterable[int]:
    if route.method == "POST":
        yield from (400, 401, 403, 413, 415, 503)
    elif route.query.model_fields:
        yield 400


def _reference(model: type[BaseModel]) -> str:
    return REFERENCE.format(model=model.__name__)


def _path_parameters(route: Route) -> Iterable[dict[str, Any]]:
    for name in route.parameters():
        kind = {"type": "integer", "minimum": 0} if name == "series" else {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": kind}


def _query_parameters(asked: type[Asked]) -> Iterable[dict[str, Any]]:
    schema = asked.model_json_schema()
    for name, field in schema.get("properties", {}).items():
        words = field.pop("description", "")
        yield {"name": name, "in": "query", "required": False, "description": words, "schema": field}


def _forgery(route: Route) -> Iterable[dict[str, Any]]:
    if route.method == "POST":
        words = "Any value; needed unless a bearer token is sent."
        yield {
            "name": FORGERY_HEADER,
            "in": "header",
            "required": False,
            "description": words,
            "schema": {"type": "string"},
        }
