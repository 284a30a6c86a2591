"""A word of a person to a running cemd, by its API: `cemd label | acknowledge | stop-sending | resume-sending`."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cemd.config.load import load_settings
from cemd.config.settings import Settings
from cemd.errors import CemdError
from cemd.kit.secrets import secret_path

SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who says it, to which page."""

    actor: str
    note: str
    url: str | None
    root: Path


def say(path: str, done: str, speaker: Speaker, *, as_json: bool) -> None:
    """Sends a command to a running cemd and prints that, and under which number, it was logged.

    Args:
        path: Of the command, below `/api/v1/`.
        done: What is so now, as the beginning of a sentence.
        speaker: Who says it.
        as_json: Print the answer as it came.

    Raises:
        CemdError: nobody answers there, or the daemon refused it.
    """
    settings = load_settings(speaker.root)
    base = (speaker.url or _own_url(settings)).rstrip("/")
    place = f"{base}/api/v1/{path}"
    if not place.startswith(("http://", "https://")):
        raise CemdError(f"{base}: this is no address of a page; give one that begins with http:// or https://.")
    document = _sent(place, base, {"actor": speaker.actor, "note": speaker.note}, _token(settings, speaker.root))
    click.echo(json.dumps(document) if as_json else f"{done} (entry {document['seq']}).")


def _sent(place: str, base: str, said: dict[str, str], token: dict[str, str]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json", "X-Cemd-Request": "1", **token}
    body = json.dumps(said).encode()
    request = urllib.request.Request(place, body, headers, method="POST")  # noqa: S310 -- checked before
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 -- as above
            document: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as exc:
        raise CemdError(f"{place}: refused with {exc.code}: {_reason(exc)}.") from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "reason", None) or exc
        raise CemdError(f"{base}: no cemd answers there ({reason}); name another page by --url.") from exc
    return document


def _own_url(settings: Settings) -> str:
    host = settings.listen.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.listen.port}"


def _token(settings: Settings, root: Path) -> dict[str, str]:
    name = settings.listen.push_token_file
    if name is None:
        return {}
    path = root / secret_path(name)
    try:
        return {"Authorization": f"Bearer {path.read_text().strip()}"}
    except OSError as exc:
        raise CemdError(f"{path}: the token cannot be read ({exc.strerror}); run this as its user.") from exc


def _reason(exc: urllib.error.HTTPError) -> str:
    try:
        error = json.load(exc)["error"]
        return f"{error['fact']}; {error['remedy']}"
    except (ValueError, KeyError, TypeError, OSError):
        return exc.reason or "no reason given"
