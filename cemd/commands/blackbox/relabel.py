"""Relabelling as Prometheus does it before it asks a target: rules that change a set of labels, or drop it.

Source: Prometheus, Configuration, `<relabel_config>` (version 3).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from cemd.errors import CemdError

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_REFERENCE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})")


def relabelled(labels: dict[str, str], rules: list[dict[str, Any]], place: str) -> dict[str, str] | None:
    """The labels after all rules; None: the target is dropped. `place` is that of the rules.

    Raises:
        CemdError: a rule is none.
    """
    labels = dict(labels)
    for rule in rules:
        try:
            if not _applied(labels, rule):
                return None
        except (re.error, KeyError) as exc:
            raise CemdError(f"{place}: a rule of relabel_configs cannot be read ({exc}); correct it.") from exc
    return labels


def said_by(rules: list[dict[str, Any]]) -> set[str]:
    """Labels that rules make parameters of: what they say is carried over."""
    asked = (rule for rule in rules if str(rule.get("target_label", "")).startswith("__"))
    return {str(name) for rule in asked for name in rule.get("source_labels") or []}


def _applied(labels: dict[str, str], rule: dict[str, Any]) -> bool:
    """Changes the labels by one rule; False: the target is dropped.

    Raises:
        re.error: its regular expression is none.
        KeyError: its action is not known.
    """
    action = str(rule.get("action", "replace")).lower()
    pattern = re.compile(_python(str(rule.get("regex", "(.*)"))), re.DOTALL)
    joined = str(rule.get("separator", ";")).join(labels.get(str(name), "") for name in rule.get("source_labels") or [])
    target, replacement = str(rule.get("target_label", "")), str(rule.get("replacement", "$1"))
    match action:
        case "replace":
            _replace(labels, pattern.fullmatch(joined), target, replacement)
        case "keep" | "drop":
            return (pattern.fullmatch(joined) is not None) is (action == "keep")
        case "keepequal" | "dropequal":
            return (labels.get(target, "") == joined) is (action == "keepequal")
        case "lowercase" | "uppercase":
            labels[target] = joined.lower() if action == "lowercase" else joined.upper()
        case "hashmod":
            digest = hashlib.md5(joined.encode()).digest()  # noqa: S324 -- as Prometheus does, to share targets out
            labels[target] = str(int.from_bytes(digest[8:], "big") % int(rule["modulus"]))
        case "labelmap":
            for name, value in list(labels.items()):
                if (found := pattern.fullmatch(name)) is not None:
                    labels[_expanded(found, replacement)] = value
        case "labeldrop" | "labelkeep":
            for name in list(labels):
                if (pattern.fullmatch(name) is not None) is (action == "labeldrop"):
                    del labels[name]
        case _:
            raise KeyError(f"action {action}")
    return True


def _replace(labels: dict[str, str], found: re.Match[str] | None, target: str, replacement: str) -> None:
    if found is None:
        return
    name, value = _expanded(found, target), _expanded(found, replacement)
    if not _LABEL.fullmatch(name):
        return
    if value:
        labels[name] = value
    else:
        labels.pop(name, None)


def _expanded(found: re.Match[str], text: str) -> str:
    """The text with `$1`, `${1}` and `${name}` filled in; a group that is not there is empty."""

    def part(reference: re.Match[str]) -> str:
        if reference[1]:
            return "$"
        name = reference[2] or reference[3]
        try:
            return found[int(name) if name.isdigit() else name] or ""
        except IndexError:
            return ""

    return _REFERENCE.sub(part, text)


def _python(pattern: str) -> str:
    """A regular expression of RE2 in Python's words."""
    return pattern.replace("(?<", "(?P<") if "(?<=" not in pattern and "(?<!" not in pattern else pattern
