"""How a command speaks with a running cemd: by its page, at the address that the files name or that a person gives."""

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
from cemd.errors import CemdError, ConfigError
from cemd.kit.secrets import secret_path

SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Page:
    """A page and what it takes to be heard there."""

    base: str
    token: dict[str, str]

    def get(self, path: str) -> dict[str, Any]:
        """The document at a path below the page.

        Raises:
            CemdError: nobody answers there, or it was refused.
        """
        return self._asked(urllib.request.Request(f"{self.base}/{path}", headers=self.token))  # noqa: S310 -- as in page()

    def post(self, path: str, said: dict[str, str]) -> dict[str, Any]:
        """What the page answers to a command.

        Raises:
            CemdError: nobody answers there, or it was refused.
        """
        headers = {"Content-Type": "application/json", "X-Cemd-Request": "1", **self.token}
        body = json.dumps(said).encode()
        return self._asked(urllib.request.Request(f"{self.base}/{path}", body, headers, method="POST"))  # noqa: S310

    def _asked(self, request: urllib.request.Request) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 -- checked in page()
                document: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as exc:
            raise CemdError(f"{request.full_url}: refused with {exc.code}: {_reason(exc)}.") from exc
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "reason", None) or exc
            raise CemdError(
                f"{self.base}: no cemd answers there ({reason}); start it, or name another page by --url."
            ) from exc
        return document


def page(root: Path, url: str | None) -> Page:
    """The page of the daemon: `url`, else the one that config/cemd.yaml names. Where that file has faults (the daemon
    may still run by what it said before) it is the usual one, and that is said.

    Raises:
        CemdError: `url` is no address of a page, or the token cannot be read.
    """
    try:
        settings = load_settings(root)
    except ConfigError as exc:
        settings = Settings()
        place = url or f"{_own_url(settings)}, the usual page (--url names another)"
        click.echo(f"cemd: {exc.faults[0]}; asking {place}, without a token.", err=True)
    base = (url or _own_url(settings)).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise CemdError(f"{base}: this is no address of a page; give one that begins with http:// or https://.")
    return Page(base, _token(settings, root))


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
