"""URLs of http and https: what may be asked, and what of it may be shown."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

_PLACEHOLDER = re.compile(r"\{[a-z][a-z0-9_]*\}")
REMEDY = "write it whole, as https://host/path"


def checked_url(url: str) -> str:
    """The URL, if it is an absolute one of http or https without a user.

    Raises:
        ValueError: it is not.
    """
    parts = _split(url)
    if parts.username is not None or parts.password is not None:
        words = "a URL must not hold user and password; give `user` and `password_file`, of a proxy `proxy_login_file`"
        raise ValueError(words)
    return absolute_url(url)


def absolute_url(url: str) -> str:
    """The URL, if it is an absolute one of http or https.

    Raises:
        ValueError: it is not.
    """
    parts = _split(url)
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"{shown_url(url)} is no absolute http or https URL; {REMEDY}")
    if not parts.hostname:
        raise ValueError(f"{shown_url(url)} is no absolute http or https URL: it names no host; {REMEDY}")
    if not url.isprintable() or " " in url:
        raise ValueError(f"{shown_url(url)!r} holds blanks or control characters; encode them as %20 and so on")
    try:
        _ = parts.port
    except ValueError as exc:
        raise ValueError(f"{shown_url(url)} has a port that is no number up to 65535; correct it") from exc
    return url


def absolute_template(url: str) -> str:
    """The same for a URL with placeholders `{name}`, each of which stands for one part: never for scheme and host, and
    never for a user or password, since a secret in a URL would be written into logs over there.

    Raises:
        ValueError: whatever the values, it is no absolute URL of http or https, or it holds a user.
    """
    parts = _split(_PLACEHOLDER.sub("1", url))
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not hold user and password; send them by `bearer` or `headers`")
    try:
        absolute_url(_PLACEHOLDER.sub("1", url))
    except ValueError as exc:
        raise ValueError(str(exc).replace(shown_url(_PLACEHOLDER.sub("1", url)), shown_url(url))) from exc
    return url


def shown_url(url: str) -> str:
    """The URL without user, query and fragment: what may stand in labels and logs."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "that"
    if not parts.scheme and not parts.netloc:
        return parts.path or "that"
    scheme = f"{parts.scheme}:" if parts.scheme else ""
    return f"{scheme}//{parts.netloc.rpartition('@')[2]}{parts.path}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as exc:
        raise ValueError(f"that is no URL; {REMEDY}") from exc
