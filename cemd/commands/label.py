"""`cemd label`: says to a running cemd what a finding was; the detector learns from it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import click

from cemd.config.load import load_settings
from cemd.config.settings import Settings
from cemd.errors import CemdError
from cemd.kit.secrets import secret_path

SECONDS = 30.0


def label_finding(  # noqa: PLR0913, RUF100 -- the words of the call
    finding: str, label: str, *, actor: str, note: str, url: str | None, root: Path, as_json: bool
) -> None:
    """Sends the label as a command and prints under which number it was logged.

    Raises:
        CemdError: nobody answers there, or the daemon refused it.
    """
    settings = load_settings(root)
    base = (url or _own_url(settings)).rstrip("/")
    headers = {"Content-Type": "application/json", "X-Cemd-Request": "1", **_token(settings, root)}
    body = json.dumps({"actor": actor, "note": note}).encode()
    place = f"{base}/api/v1/findings/{finding}/label_{label}"
    if not place.startswith(("http://", "https://")):
        raise CemdError(f"{base}: this is no address of a page; give one that begins with http:// or https://.")
    request = urllib.request.Request(place, body, headers, method="POST")  # noqa: S310 -- checked above
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 -- as above
            document = json.load(answer)
    except urllib.error.HTTPError as exc:
        raise CemdError(f"{place}: refused with {exc.code}: {_reason(exc)}.") from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "reason", None) or exc
        raise CemdError(f"{base}: no cemd answers there ({reason}); name another page by --url.") from exc
    if as_json:
        click.echo(json.dumps(document))
        return
    click.echo(f"{finding} is labelled {label}, as entry {document['seq']}; see `cemd explain {finding}`.")


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
