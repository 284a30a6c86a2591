"""Texts for people: templates behind an allow-list of nodes, checked at load, rendered once per text and language.

The sandbox of jinja2 does not bound the cost of an expression, so only plain output, conditions and a few filters are
let through. What a text may say is a handful of words about the problem, never anything about a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

NAMES = ("service", "site", "since", "operator")
FILTERS = ("upper", "lower", "title", "capitalize", "trim", "default")
LONGEST = 4000
_NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Filter,
    nodes.If,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.CondExpr,
)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in FILTERS}
    environment.tests = {name: environment.tests[name] for name in ("eq", "ne", "defined")}
    return environment


_ENVIRONMENT = _environment()


def check_template(text: str) -> str | None:
    """What is wrong with a text as a fact for a fault; None when it can be used.

    >>> check_template("Since {{ since }} {{ service }} is down.")
    >>> check_template("{{ customer }}")
    'line 1: "customer" cannot be used in a text'
    """
    if len(text) > LONGEST:
        return f"the text has {len(text)} characters, more than {LONGEST}"
    try:
        tree = _ENVIRONMENT.parse(text)
    except TemplateError as exc:
        return f"line {getattr(exc, 'lineno', None) or 1}: {exc.message}"
    except RecursionError:
        return "the text is nested too deeply"
    for node in _walk(tree):
        if not isinstance(node, _NODES):
            return f"line {node.lineno}: a text may not use {type(node).__name__.lower()}"
        if isinstance(node, nodes.Name) and node.name not in NAMES:
            return f'line {node.lineno}: "{node.name}" cannot be used in a text'
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            return f'line {node.lineno}: the filter "{node.name}" cannot be used in a text'
    try:
        _ENVIRONMENT.from_string(text).render(dict.fromkeys(NAMES, "x"))
    except (TemplateError, TypeError, ValueError) as exc:
        return f"it cannot be rendered ({type(exc).__name__}: {exc})"
    return None


def _walk(tree: nodes.Node) -> list[nodes.Node]:
    found: list[nodes.Node] = [tree]
    for node in found:  # grows while it is walked
        found.extend(node.iter_child_nodes())
    return found


@lru_cache(maxsize=512)
def _template(text: str) -> Template:
    fault = check_template(text)
    if fault is not None:
        raise ValueError(f"text for customers: {fault}; correct it in rules/report.")
    return _ENVIRONMENT.from_string(text)


@lru_cache(maxsize=512)
def _rendered(text: str, values: tuple[tuple[str, str], ...]) -> str:
    return _template(text).render(dict(values))


def render(text: str, values: Mapping[str, str]) -> str:
    """The text with its words put in; the same text and words are rendered once.

    Raises:
        ValueError: the text is not one that `check_template` lets through.
    """
    return _rendered(text, tuple((name, values.get(name, "")) for name in NAMES))


def choose_language(wanted: str, offered: Mapping[str, object], operator: str) -> str:
    """The language to speak: the customer's, without its region, the operator's, else the first that there is.

    >>> choose_language("de-AT", {"en": 1, "de": 2}, "en")
    'de'
    """
    for language in (wanted, wanted.partition("-")[0], operator, operator.partition("-")[0]):
        if language in offered:
            return language
    return next(iter(offered))
