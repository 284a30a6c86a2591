"""A YAML file with the line and column of every key and value, and a fault for whatever is not YAML of ours.

PyYAML's C parser delivers events; the tree is built from them here, iteratively and with limits, because PyYAML's own
loader ends the process at 50,000 nested brackets and knows only YAML 1.1. Duplicate keys, keys that are not texts,
tags, alias bombs and second documents are faults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import yaml
from yaml import events

from cemd.config.scalar import resolved
from cemd.errors import ConfigError, Fault

Tree = dict[str, "Tree"] | list["Tree"] | str | int | float | bool | None
Path = tuple[str | int, ...]
"""Way from the root of a file to a part of it: keys and positions from 0."""

BYTES_MOST = 16 * 1024 * 1024  # a catalogue of 50,000 sites is about 8 MiB
DEPTH_MOST = 32  # our deepest file has 9 levels
NODES_MOST = 2_000_000  # counted with aliases expanded: an alias bomb ends here

_TAG_PREFIX = "tag:yaml.org,2002:"
_TABS = "indent with spaces, never with tabs"
_REMEDIES = {
    "found a tab character": _TABS,
    "mapping values are not allowed": "give every key a line of its own, and put a text that holds a colon in quotes",
    "expected <block end>": "indent the entries of one list or mapping alike",
    "could not find expected ':'": "write `key: value`, with a space after the colon",
    "unexpected end of stream": "close the quote or bracket that was opened",
    "undefined alias": "define the anchor with `&` before it is used with `*`",
    "cannot start any token": "put a text that begins with a special character in quotes",
    "control characters": "remove it, or write it as an escape in double quotes",
}


class Mark(NamedTuple):
    """A place in a file; both count from 1."""

    line: int
    column: int


START = Mark(1, 1)


class Marked(NamedTuple):
    """One parsed file: the tree, and where each key and each value of it begins."""

    tree: Tree
    keys: Mapping[Path, Mark]
    values: Mapping[Path, Mark]


def read(text: str, file: str) -> Marked:
    """Reads one YAML document.

    Args:
        text: The whole file; empty means an empty mapping.
        file: Name for messages.

    Raises:
        ConfigError: the text is no YAML of ours; every duplicate key, tag and bad number is named, broken syntax ends
            the reading at once.
    """
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.reader.ReaderError as exc:
        raise _fault(file, _mark_of(text, exc.position), f"{exc.reason} here", _remedy(str(exc.reason))) from exc
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        problem = " ".join(filter(None, (exc.context, exc.problem)))
        place = Mark(mark.line + 1, mark.column + 1) if mark else START
        tab = mark is not None and text[mark.index : mark.index + 1] == "\t"
        raise _fault(file, place, f"this is not YAML: {problem}", _TABS if tab else _remedy(problem)) from exc
    if builder.faults:
        raise ConfigError(builder.faults)
    return Marked(builder.root if builder.root is not None else {}, builder.keys, builder.values)


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is still open."""

    tree: dict[str, Tree] | list[Tree]
    path: Path
    anchor: str | None
    started_at: int  # nodes before it, so that its size is known when it closes
    key: str | None = None
    count: int = 0
    height: int = 1  # levels from here down, aliases expanded


@dataclass(slots=True)
class _Builder:
    file: str
    root: Tree = None
    keys: dict[Path, Mark] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    stack: list[_Frame] = field(default_factory=list)
    anchors: dict[str, tuple[Tree, int, int]] = field(default_factory=dict)
    nodes: int = 0
    documents: int = 0

    def take(self, event: events.Event) -> None:
        start = event.start_mark
        mark = Mark(start.line + 1, start.column + 1) if start else START
        match event:
            case events.DocumentStartEvent():
                self.documents += 1
                if self.documents > 1:
                    raise _fault(self.file, mark, "a second document begins", "keep one document a file, without `---`")
            case events.ScalarEvent():
                self._scalar(event, mark)
            case events.MappingStartEvent() | events.SequenceStartEvent():
                self._open(event, mark)
            case events.MappingEndEvent() | events.SequenceEndEvent():
                self._close()
            case events.AliasEvent():
                self._alias(event, mark)
            case _:
                pass

    def _scalar(self, event: events.ScalarEvent, mark: Mark) -> None:
        self._known_tag(event.tag, ("str",), mark)
        plain = not event.style and event.implicit[0] and event.tag is None
        value: Tree = event.value
        if "\0" in event.value:
            self._say(mark, "the text holds a NUL character", "remove it")
        if plain:
            try:
                value = resolved(event.value)
            except ValueError as exc:
                self._say(mark, str(exc), "write a finite number within 64 bits, or a text in quotes")
        if self._key_is_due():
            self._key(value, event.value, mark)
            return
        self._count(1, mark)
        self._place(value, mark)
        if event.anchor:
            self.anchors[event.anchor] = (value, 1, 0)

    def _open(self, event: events.MappingStartEvent | events.SequenceStartEvent, mark: Mark) -> None:
        mapping = isinstance(event, events.MappingStartEvent)
        self._known_tag(event.tag, ("map",) if mapping else ("seq",), mark)
        if self._key_is_due():
            raise _fault(self.file, mark, "a key is a list or mapping", "use a plain text as key")
        self._check_depth(1, mark)
        tree: dict[str, Tree] | list[Tree] = {} if mapping else []
        before = self.nodes
        self._count(1, mark)
        path = self._place(tree, mark)
        if event.anchor:
            self.anchors.pop(event.anchor, None)
        self.stack.append(_Frame(tree, path, event.anchor, before))

    def _close(self) -> None:
        frame = self.stack.pop()
        if self.stack:
            self.stack[-1].height = max(self.stack[-1].height, frame.height + 1)
        if frame.anchor:
            self.anchors[frame.anchor] = (frame.tree, self.nodes - frame.started_at, frame.height)

    def _alias(self, event: events.AliasEvent, mark: Mark) -> None:
        if self._key_is_due():
            raise _fault(self.file, mark, "a key is an alias", "write the key out")
        if event.anchor not in self.anchors:
            raise _fault(
                self.file,
                mark,
                f"alias *{event.anchor} stands inside its own anchor or before it",
                "define the anchor with `&` before it is used with `*`",
            )
        value, size, height = self.anchors[event.anchor]
        self._count(size, mark)
        self._check_depth(height, mark)
        self.stack[-1].height = max(self.stack[-1].height, height + 1)
        self._place(value, mark)

    def _key_is_due(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].tree, dict) and self.stack[-1].key is None

    def _key(self, value: Tree, text: str, mark: Mark) -> None:
        frame = self.stack[-1]
        if not isinstance(value, str):
            self._say(mark, f"the key {text[:40]!r} is not a text", "put it in quotes")
        path = (*frame.path, text)
        if path in self.keys:
            first = self.keys[path]
            self._say(
                mark,
                f'duplicate key "{text[:60]}", first at line {first.line}',
                "remove one, or join their contents",
            )
        else:
            self.keys[path] = mark
        frame.key = text

    def _place(self, value: Tree, mark: Mark) -> Path:
        """Puts a value where the event stands, and remembers its mark."""
        if not self.stack:
            self.root = value
            self.values[()] = mark
            return ()
        frame = self.stack[-1]
        if isinstance(frame.tree, list):
            path: Path = (*frame.path, frame.count)
            frame.tree.append(value)
            frame.count += 1
        else:
            key = frame.key or ""
            path = (*frame.path, key)
            frame.tree[key] = value
            frame.key = None
        self.values[path] = mark
        return path

    def _known_tag(self, tag: str | None, known: tuple[str, ...], mark: Mark) -> None:
        if tag is not None and tag != "!" and tag.removeprefix(_TAG_PREFIX) not in known:
            self._say(mark, f"tag {tag[:60].replace(_TAG_PREFIX, '!!')} is not known here", "remove the tag")

    def _check_depth(self, more: int, mark: Mark) -> None:
        if len(self.stack) + more > DEPTH_MOST:
            raise _fault(self.file, mark, f"nested deeper than {DEPTH_MOST} levels", "write it flatter")

    def _count(self, more: int, mark: Mark) -> None:
        self.nodes += more
        if self.nodes > NODES_MOST:
            raise _fault(self.file, mark, f"more than {NODES_MOST:,} values", "split the file, and use fewer aliases")

    def _say(self, mark: Mark, fact: str, remedy: str) -> None:
        self.faults.append(Fault(self.file, mark.line, mark.column, fact, remedy))


def decoded(data: bytes, file: str) -> str:
    """The text of a file, without its byte order mark.

    Raises:
        ConfigError: it is too large, or no UTF-8.
    """
    if len(data) > BYTES_MOST:
        raise _fault(file, START, f"larger than {BYTES_MOST >> 20} MiB", "split the file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        good = data[: exc.start].decode("utf-8-sig", errors="replace")
        raise _fault(file, _mark_of(good, len(good)), "this byte is not UTF-8", "save the file as UTF-8") from exc


def _mark_of(text: str, position: int) -> Mark:
    """Line and column of a character position."""
    before = text[:position]
    return Mark(before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


def _remedy(problem: str) -> str:
    return next((remedy for words, remedy in _REMEDIES.items() if words in problem), "mend the syntax at this place")


def _fault(file: str, mark: Mark, fact: str, remedy: str) -> ConfigError:
    return ConfigError([Fault(file, mark.line, mark.column, fact, remedy)])
