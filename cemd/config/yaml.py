"""YAML in its 1.2 meaning: `no`, `on`, `1:30` and `2026-01-01` are texts and `012` is 12.

Files of fifty thousand probes are mostly right, and then nobody asks where something stands. So a file is read quickly
first, without places; what is odd in any way is read again by `marked`, which says what is wrong and where, and so is a
file of which a place is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import yaml
from yaml import events

from cemd.config import marked
from cemd.config.marked import BYTES_MOST, DEPTH_MOST, NODES_MOST, START, Mark, Path, Tree
from cemd.config.scalar import resolved

__all__ = ["BYTES_MOST", "DEPTH_MOST", "NODES_MOST", "Document", "Mark", "Path", "Tree", "parse", "walk"]


class Document:
    """One parsed file: the tree, and where each key and each value of it begins."""

    __slots__ = ("_file", "_marked", "_text", "tree")

    def __init__(self, tree: Tree, text: str, file: str, marks: marked.Marked | None = None) -> None:
        self.tree = tree
        self._text, self._file, self._marked = text, file, marks

    @property
    def keys(self) -> Mapping[Path, Mark]:
        return self._marks().keys

    @property
    def values(self) -> Mapping[Path, Mark]:
        return self._marks().values

    def value_mark(self, path: Path) -> Mark:
        """Where the value at `path` begins; where it came by an alias, the alias; else the nearest part around it."""
        values = self.values
        while path and path not in values:
            path = path[:-1]
        return values.get(path, START)

    def key_mark(self, path: Path) -> Mark:
        """Where the key that ends `path` stands; else its value's place."""
        return self.keys.get(path) or self.value_mark(path)

    def _marks(self) -> marked.Marked:
        if self._marked is None:
            self._marked = marked.read(self._text, self._file)
        return self._marked


def parse(data: bytes, file: str) -> Document:
    """Reads one YAML document.

    Args:
        data: The file's bytes, UTF-8 (a byte order mark is ignored); empty means an empty mapping.
        file: Name for messages.

    Raises:
        ConfigError: the bytes are no YAML of ours; every duplicate key, tag and bad number is named, broken syntax
            ends the reading at once.
    """
    text = marked.decoded(data, file)
    try:
        return Document(_quickly(text), text, file)
    except (_OddError, ValueError, yaml.YAMLError):
        found = marked.read(text, file)
        return Document(found.tree, text, file, found)


class _OddError(Exception):
    """Something is wrong, or rare: the other reader knows what to do."""


def _quickly(text: str) -> Tree:  # noqa: C901, PLR0912, RUF100 -- one pass over very many events; a call each would double its cost
    """The tree of a plain document.

    Raises:
        _OddError: it is wrong, or holds anchors, tags or keys that are not plain texts.
        ValueError: it holds a number that is none of ours.
        yaml.YAMLError: the syntax is broken.
    """
    take: Callable[[], Any] = yaml.CSafeLoader(text).get_event
    known: dict[str, Any] = {}
    outer: list[Any] = []
    tree: Any = []
    """What is open: at first a list that the root is put into."""
    key, key_is_due, nodes = "", False, 0
    while True:
        event = take()
        kind = type(event)
        if kind is events.ScalarEvent:
            if event.tag is not None or event.anchor is not None:
                raise _OddError
            word = event.value
            value: Any = word
            if not event.style and event.implicit[0]:
                if (value := known.get(word, _UNKNOWN)) is _UNKNOWN:
                    value = known[word] = resolved(word)
            elif "\0" in word:
                raise _OddError
            if key_is_due:
                if type(value) is not str or value in tree:
                    raise _OddError
                key, key_is_due = value, False
                continue
        elif kind is events.MappingStartEvent or kind is events.SequenceStartEvent:
            if key_is_due or event.tag is not None or event.anchor is not None or len(outer) >= DEPTH_MOST:
                raise _OddError
            value = {} if kind is events.MappingStartEvent else []
        elif kind is events.MappingEndEvent or kind is events.SequenceEndEvent:
            tree = outer.pop()
            key_is_due = type(tree) is dict
            continue
        elif kind is events.StreamEndEvent:
            break
        elif kind is events.AliasEvent:
            raise _OddError
        else:
            continue
        nodes += 1
        if type(tree) is list:
            tree.append(value)
        else:
            tree[key] = value
            key_is_due = True
        if kind is not events.ScalarEvent:
            outer.append(tree)
            tree, key_is_due = value, kind is events.MappingStartEvent
    if outer or nodes > NODES_MOST or len(tree) > 1:
        raise _OddError
    return {} if not tree or tree[0] is None else tree[0]


_UNKNOWN: Final = object()


def walk(tree: Tree, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every text of a tree with its path."""
    match tree:
        case str():
            yield path, tree
        case dict():
            for key, value in tree.items():
                yield from walk(value, (*path, key))
        case list():
            for place, value in enumerate(tree):
                yield from walk(value, (*path, place))
        case _:
            pass
