"""YAML in its 1.2 meaning, with places; hostile bytes end in a fault, never in a crash."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cemd.config import marked
from cemd.config.yaml import BYTES_MOST, Mark, parse
from cemd.errors import ConfigError, Fault
from hypothesis import example, given, settings
from hypothesis import strategies as st


def message(data: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(data, "f.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("1_000", "1_000"),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("True", "True"),
        ("~", None),
        ("null", None),
        ('"12"', "12"),
        ("'true'", "true"),
        ("!!str 12", "12"),
        ("<<", "<<"),
        ("=", "="),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    found = parse(f"key: {text}\n".encode(), "f.yaml").tree
    assert found == {"key": value}
    assert isinstance(found, dict)
    assert type(found["key"]) is type(value)


def test_every_key_and_value_has_its_place() -> None:
    document = parse("# top\na:\n  - x: 1\n    ü: [2, zwei]\n".encode(), "f.yaml")
    assert document.keys[("a",)] == Mark(2, 1)
    assert document.values[("a", 0)] == Mark(3, 5)
    assert document.keys[("a", 0, "ü")] == Mark(4, 5)
    assert document.values[("a", 0, "ü", 1)] == Mark(4, 12)
    assert document.value_mark(("a", 0, "absent", 3)) == Mark(3, 5), "what is not there is where it should be"


def test_byte_order_mark_moves_no_column() -> None:
    assert parse("\ufeffa: b\n".encode(), "f.yaml").values[("a",)] == Mark(1, 4)


def test_alias_repeats_a_value_and_is_placed_where_it_stands() -> None:
    document = parse(b"a: &x {k: 1}\nb: *x\n", "f.yaml")
    assert document.tree == {"a": {"k": 1}, "b": {"k": 1}}
    assert document.value_mark(("b", "k")) == Mark(2, 4)


def test_empty_file_is_an_empty_mapping() -> None:
    assert parse(b"", "f.yaml").tree == {}
    assert parse(b"# only words\n", "f.yaml").tree == {}


BOMB = b"a: &a [1,1,1,1,1,1,1,1,1]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)
)
TOWER = b"a0: &a0 [1]\n" + b"".join(b"a%d: &a%d [[[*a%d]]]\n" % (i + 1, i + 1, i) for i in range(4_000))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[" * 100_000, "f.yaml:1:33: nested deeper than 32 levels; write it flatter"),
        (b"{a: " * 100_000, "f.yaml:1:129: nested deeper than 32 levels; write it flatter"),
        (TOWER, "f.yaml:12:14: nested deeper than 32 levels; write it flatter"),
        (BOMB, "f.yaml:7:14: more than 2,000,000 values; split the file, and use fewer aliases"),
        (b"a: 1\nb: 2\na: 3\n", 'f.yaml:3:1: duplicate key "a", first at line 1; remove one, or join their contents'),
        (b"a: 1\n7: 2\n", "f.yaml:2:1: the key '7' is not a text; put it in quotes"),
        (b"? [a]\n: 1\n", "f.yaml:1:3: a key is a list or mapping; use a plain text as key"),
        (
            b"a: !!python/name:os.system x\n",
            "f.yaml:1:4: tag !!python/name:os.system is not known here; remove the tag",
        ),
        (b"a: !secret x\n", "f.yaml:1:4: tag !secret is not known here; remove the tag"),
        (b"a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document begins; keep one document a file, without `---`"),
        (
            b"a: &x [*x]\n",
            (
                "f.yaml:1:8: alias *x stands inside its own anchor or before it; "
                "define the anchor with `&` before it is used with `*`"
            ),
        ),
        (
            b"a: b\nc: \x07\n",
            "f.yaml:2:4: control characters are not allowed here; remove it, or write it as an escape in double quotes",
        ),
        (b'a: "\\0"\n', "f.yaml:1:4: the text holds a NUL character; remove it"),
        (b"a: ok\nb: \xff\n", "f.yaml:2:4: this byte is not UTF-8; save the file as UTF-8"),
        (
            b"a: 1e999\n",
            "f.yaml:1:4: the number is too large; write a finite number within 64 bits, or a text in quotes",
        ),
        (
            b"a: .nan\n",
            "f.yaml:1:4: the number is not finite; write a finite number within 64 bits, or a text in quotes",
        ),
        (
            b"a: " + b"9" * 5_000,
            (
                "f.yaml:1:4: the whole number does not fit in 64 bits; "
                "write a finite number within 64 bits, or a text in quotes"
            ),
        ),
        (
            b"a:\n\tb: 1\n",
            (
                "f.yaml:2:1: this is not YAML: while scanning for the next token found character that cannot start "
                "any token; indent with spaces, never with tabs"
            ),
        ),
        (b" " * (BYTES_MOST + 1), "f.yaml:1:1: larger than 16 MiB; split the file"),
    ],
    ids=lambda part: part[:24] if isinstance(part, str) else "",
)
def test_bytes_that_mean_harm_or_nothing_are_a_fault_with_its_place(data: bytes, expected: str) -> None:
    assert message(data) == expected


YAMLISH = st.lists(
    st.sampled_from(
        ["a", "b: ", "- ", "{", "}", "[", "]", ", ", "\n", "  ", "&x ", "*x", "!", "!!int ", "'", '"', "|\n"]
    )
    | st.text(max_size=3),
    max_size=40,
).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass"))


@settings(max_examples=400)
@given(st.binary(max_size=200) | YAMLISH)
@example(b"\xef\xbb\xbf")
@example(b"%YAML 9.9\n---\n")
@example(b"a: &a [*a, *b]")
@example(b"\xff\xfea\x00")
def test_no_bytes_crash_the_parser(data: bytes) -> None:
    faults: tuple[Fault, ...] = ()
    try:
        parse(data, "f.yaml")
    except ConfigError as exc:
        faults = exc.faults
    assert all(fault.line >= 1 and fault.column >= 1 for fault in faults)


WORDS = st.sampled_from(
    ["a", "b", "12", "no", "true", "~", "1e999", "0x1F", "'x'", '"y"', "!!str z", "&m v", "*m", "é"]
)
NODES = st.recursive(
    WORDS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
        | st.lists(st.tuples(WORDS, inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{key} : {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=8,
)


@given(
    st.lists(NODES, min_size=1, max_size=2).map("\n---\n".join)
    | NODES.map(lambda node: f"key: {node}\nother:\n- {node}")
)
@settings(max_examples=300, deadline=None)
def test_quick_reading_gives_the_tree_of_the_one_that_knows_places_and_refuses_what_it_refuses(text: str) -> None:
    def outcome(read: Callable[[], object]) -> object:
        try:
            return repr(read())
        except ConfigError as exc:
            return exc.faults

    quick = outcome(lambda: parse(text.encode(), "f.yaml").tree)
    assert quick == outcome(lambda: marked.read(text, "f.yaml").tree)
