"""URLs of probes: what may be asked, and what of it may be shown."""

from __future__ import annotations

from urllib.parse import urlsplit


def checked_url(url: str) -> str:
    """The URL, if it is an absolute one of http or https without a user.

    Raises:
        ValueError: it is not.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"{shown_url(url)} is no absolute http or https URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not hold user and password; use bearer_file or header_files")
    if not url.isprintable() or " " in url:
        raise ValueError(f"{shown_url(url)!r} holds blanks or control characters; encode them as %20 and so on")
    _ = parts.port  # raises ValueError where it is no number
    return url


def shown_url(url: str) -> str:
    """The URL without user, query and fragment: what may stand in labels and logs."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "that"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
