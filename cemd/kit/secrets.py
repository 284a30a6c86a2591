"""Where a secret lies: files name it (`*_file`), the service manager may hand it over as a credential of that name."""

from __future__ import annotations

import os
from pathlib import Path


def secret_path(name: str) -> Path:
    """The file of a secret.

    Args:
        name: What stands in the configuration: an absolute path, a path relative to the root, or the name of a
            credential (`LoadCredential=mail:...` makes `password_file: mail` work), which wins over a relative path.
    """
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    if given and "/" not in name and (credential := Path(given) / name).is_file():
        return credential
    return Path(name)


def read_secret_text(name: str) -> str:
    """Content of a secret's file without the line end.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read.
    """
    return secret_path(name).read_text(encoding="utf-8").rstrip("\r\n")
