"""A secret is named by a path, or by the credential that the service manager hands over."""

from __future__ import annotations

from pathlib import Path

import pytest
from cemd.kit.secrets import read_secret_text, secret_path


def test_a_credential_of_that_name_wins_over_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mail").write_text("from the manager\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_secret_text("mail") == "from the manager"


def test_without_one_the_path_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secret_path("secrets/mail") == Path("secrets/mail")
    assert secret_path("/etc/mail") == Path("/etc/mail")
    assert secret_path("absent") == Path("absent")
