"""A reload says what changed, in sentences."""

from __future__ import annotations

from pathlib import Path

import pytest
from cemd.config.configuration import Configuration
from cemd.config.diff import changes
from cemd.config.load import Kinds, load
from cemd.config.reference import MODELS, explained, topics

from tests.config.kinds import KINDS, edited, write


@pytest.fixture
def old(tmp_path: Path) -> Configuration:
    return load(write(tmp_path / "old"), KINDS).configuration


@pytest.mark.parametrize(
    ("file", "text", "instead", "sentences"),
    [
        (
            "config/cemd.yaml",
            "intake:",
            "listen: {port: 9000}\n        intake:",
            ("settings: listen.port 8480 -> 9000.",),
        ),
        (
            "probes/core.yaml",
            "timeout_seconds: 4",
            "timeout_seconds: 5",
            ('probe "core-east": timeout_seconds 4.0 -> 5.0.',),
        ),
        ("probes/core.yaml", 'packets: "5"', 'packets: "6"', ('probe "core-east": params.packets 5 -> 6.',)),
        (
            "probes/core.yaml",
            "site: east",
            "labels: {ring: a}",
            ('probe "core-east": site "east" -> nothing.', 'probe "core-east": labels.ring nothing -> "a".'),
        ),
        (
            "probes/core.yaml",
            "name: shop",
            "name: store\n            renamed_from: shop",
            ('probe "shop" is now called "store".',),
        ),
        ("probes/core.yaml", "name: shop", "name: store", ('probe "shop" was removed.', 'probe "store" was added.')),
        (
            "config/catalogue/all.yaml",
            "sold: true, depends_on: [core]",
            "sold: true",
            ('service "broadband": depends_on now without "core".',),
        ),
        (
            "config/catalogue/all.yaml",
            "needs: [broadband]}",
            "needs: [core]}",
            ('journey "order": step "choose": needs now without "broadband" and with "core".',),
        ),
        (
            "rules/report/customers.yaml",
            "first_subject: Fault",
            "first_subject: Problem",
            ('policy "faults": texts.en.first_subject "Fault" -> "Problem".',),
        ),
    ],
)
def test_change_is_told(
    tmp_path: Path, old: Configuration, file: str, text: str, instead: str, sentences: tuple[str, ...]
) -> None:
    new = load(write(tmp_path / "new", **edited(file, text, instead)), KINDS).configuration
    assert changes(old, new) == sentences


def test_nothing_changed_says_nothing(old: Configuration) -> None:
    assert changes(old, old) == ()


def test_kind_is_explained_from_its_model() -> None:
    text = explained("ping", KINDS)
    assert text is not None
    assert text.startswith("ping: kind of probe; written in `params:` of a probe in probes/*.yaml\n\nSends packets")
    assert "  packets      whole number from 1 to 100; default 10\n      Packets a burst.\n" in text
    assert "  target       text; required\n      Address or name to reach.\n" in text


@pytest.mark.parametrize("word", MODELS)
def test_every_part_of_the_files_is_explained(word: str) -> None:
    text = explained(word, KINDS)
    assert text is not None
    assert word in topics(KINDS)
    assert "required" in text or "default" in text


@pytest.mark.parametrize("word", MODELS)
def test_every_part_of_the_files_says_what_it_is(word: str) -> None:
    assert (MODELS[word][0].__doc__ or "").strip()


def test_unknown_word_has_no_explanation() -> None:
    assert explained("quantum", KINDS) is None


def test_kind_says_which_figures_it_gives() -> None:
    text = explained("ping", Kinds(probe_params=KINDS.probe_params, figures={"ping": "`loss_ratio` of a burst."}))
    assert text is not None
    assert "besides `success` and `duration_seconds`:\n`loss_ratio` of a burst.\n" in text
