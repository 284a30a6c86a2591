"""The command line: one small function a command. Wings are imported where they are used, so that help is quick.

Exit codes: 0 done, 1 the thing asked about is wrong (a faulty file, a broken promise), 2 the words of the call are.
Commands are listed in the order in which their files are imported here: that of a first day.
"""

# ruff: noqa: I001 -- the order of the commands
from cemd.cli.base import main
from cemd.cli import running, files, asking, keeping, measuring

__all__ = ["asking", "files", "keeping", "main", "measuring", "running"]
