"""The group of all commands, the options that many share, and how an error becomes one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cemd import __version__
from cemd.errors import CemdError, ConfigError
from cemd.kit.words import counted

ROOT = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    envvar="CEMD_ROOT",
    show_default="this folder",
    help="Folder that holds config/, probes/ and rules/.",
)
STATE = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    envvar="STATE_DIRECTORY",
    help="State directory; default: the one that config/cemd.yaml names.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


MOST_HELP = 300
"""Characters of a first sentence; click itself cuts it to what is left of the line."""
_MISSING = (
    "cemd: the package {package} is not installed here, so this environment is older than the code; install cemd again"
    " (in a clone: `python3 start.py --help` does so)."
)


class _Cemd(click.Group):
    """Turns the errors of the house into one sentence and exit code 1; lists commands in the order of a first day, each
    with its whole first sentence."""

    group_class = type  # of groups within it as well

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as exc:
            click.echo("\n".join(map(str, exc.faults)), err=True)
            click.echo(f"{counted(len(exc.faults), 'fault')}; nothing was changed.", err=True)
        except CemdError as exc:
            click.echo(f"cemd: {exc}", err=True)
        except ModuleNotFoundError as exc:
            package = (exc.name or "").partition(".")[0]
            if package in ("", "cemd"):
                raise
            click.echo(_MISSING.format(package=package), err=True)
        return ctx.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's door
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click's door
        rows = [(name, command.get_short_help_str(limit=MOST_HELP)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_Cemd, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="cemd")
def main() -> None:
    """Watches telecom services the way customers live them, and tells exactly the affected customers.

    Start with `cemd demo`: a small operator on this machine, a fault, the incident, its cause, and who was told.
    Then `cemd check` your own files and `cemd run`.
    """
