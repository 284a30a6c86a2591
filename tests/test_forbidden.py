"""What a machine forbids is never passed over quietly."""

from __future__ import annotations

import pytest

from tests.forbidden import FORBIDDEN, forbidden, lacking, told_at_the_end


def test_what_is_forbidden_is_told_at_the_end_of_the_run_and_how_often() -> None:
    said = []
    for words in ("no namespaces", "no devices", "no namespaces"):
        with pytest.raises(pytest.skip.Exception) as skipped:
            forbidden(words)
        said.append(f"Skipped: {skipped.value}")
    assert told_at_the_end([*said, "Skipped: component 'named' is not installed"]) == [
        "1 x no devices",
        "2 x no namespaces",
    ]


@pytest.mark.parametrize(("ci", "kind"), [("true", "Failed"), ("", "Skipped")], ids=["ci", "elsewhere"])
def test_what_could_be_installed_fails_in_ci(ci: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception)) as ended:
        lacking("program `ip` is not installed")
    assert ended.typename == kind
    assert FORBIDDEN not in str(ended.value)


def test_namespaces_that_are_refused_are_forbidden_and_other_faults_fail_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest("from tests.conftest import namespace, pytest_terminal_summary")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile("def test_one(namespace): pass\ndef test_other(namespace): pass")
    folder = pytester.mkdir("bin")
    monkeypatch.setenv("PATH", str(folder))
    for said, ci, outcome, last in (
        ("mount --make-shared /run/netns failed: Operation not permitted", "true", {"skipped": 2}, "2 x network nam*"),
        ("RTNETLINK answers: Not enough memory", "true", {"errors": 2}, "*Not enough memory*CI must provide it*"),
        ("RTNETLINK answers: Not enough memory", "", {"skipped": 2}, "*Not enough memory*"),
    ):
        monkeypatch.setenv("CI", ci)
        (folder / "ip").write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
        (folder / "ip").chmod(0o755)
        result = pytester.runpytest_inprocess("-rs", "-p", "no:cacheprovider")
        result.assert_outcomes(**outcome)
        result.stdout.fnmatch_lines([f"*{last}"])
