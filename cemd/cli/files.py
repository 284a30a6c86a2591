"""Commands about what the files say, before anything runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from cemd.cli.base import JSON, ROOT, STATE, main
from cemd.errors import CemdError, ConfigError
from cemd.kit.words import counted

_COUNTED = {
    "services": ("service",),
    "sites": ("site",),
    "touchpoints": ("touchpoint",),
    "journeys": ("journey",),
    "probes": ("probe",),
    "indicators": ("indicator",),
    "policies": ("policy", "policies"),
    "channels": ("channel",),
}
"""What `check` counts, and what one and many of it are called."""
_MOST_NAMED = 7
"""Touchpoints that are not watched from both sides; with `--json` all of them are."""


@main.command()
@ROOT
@JSON
def check(root: Path, as_json: bool) -> None:
    """Checks all files and starts nothing. Prints every fault as file:line:column: fact; remedy."""
    from cemd.config.coverage import coverage_of
    from cemd.config.load import load, unread
    from cemd.config.topology import Topology
    from cemd.daemon.kinds import kinds

    try:
        loaded = load(root, kinds())
    except ConfigError as exc:
        if not as_json:
            for warning in unread(root):
                click.echo(f"warning: {warning}", err=True)
            raise
        faults = [
            {"file": f.file, "line": f.line, "column": f.column, "fact": f.fact, "remedy": f.remedy} for f in exc.faults
        ]
        click.echo(json.dumps({"ok": False, "faults": faults}, indent=2))
        sys.exit(1)
    counts = {name: len(getattr(loaded.configuration, name)) for name in _COUNTED}
    coverage = coverage_of(Topology(loaded.configuration))
    if as_json:
        found = {"ok": True, "faults": [], "warnings": list(loaded.warnings), "counts": counts}
        watched = {"ratio": coverage.ratio, "lacking": coverage.lacking}
        click.echo(json.dumps({**found, "touchpoints_watched": watched}, indent=2))
        return
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}")
    click.echo(f"All files are right: {', '.join(counted(counts[name], *_COUNTED[name]) for name in _COUNTED)}.")
    if coverage.lacking:
        named = [f"{name} (not {' or '.join(sides)})" for name, sides in coverage.lacking.items()]
        others = ", ".join(named[:_MOST_NAMED]) + (
            f" and {more} more" if (more := len(named) - _MOST_NAMED) > 0 else ""
        )
        click.echo(f"Of the touchpoints, probes watch {coverage.ratio:.0%} from both network and IT; not so {others}.")
    if (source := loaded.configuration.settings.customers) is not None and (root / source.file).is_file():
        click.echo(f"What stands in {source.file} was not looked at: `cemd customers check {root / source.file}` does.")


@main.command()
@click.argument("name")
@ROOT
@JSON
def probe(name: str, root: Path, as_json: bool) -> None:
    """Runs the probe NAME now, from here, and prints every phase; nothing is recorded.

    Exit code 0 where it was ok, 1 where it failed, timed out or could not look.
    """
    from cemd.commands.probing import run_now, told

    result = run_now(name, root)
    click.echo(json.dumps(result) if as_json else told(result))
    sys.exit(int(result["outcome"] != "ok"))


@main.group(name="import")
def import_() -> None:
    """Takes over what other tools are configured with."""


@import_.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--prometheus", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Has the targets.")
@click.option("--service", default="imported", show_default=True, help="Service that the probes speak about.")
@click.option("--every", type=click.FloatRange(1, 86_400), default=60.0, show_default=True, help="Seconds.")
@click.option(
    "--write", type=click.Path(dir_okay=False, path_type=Path), help="File to write; default: standard output."
)
@JSON
def blackbox(
    file: Path, prometheus: Path | None, service: str, every: float, write: Path | None, as_json: bool
) -> None:
    """Makes probes of the modules in FILE, a configuration of Prometheus's blackbox_exporter.

    What cannot be carried over is said, at the head of the file and on standard error. Targets are taken from
    Prometheus's own file and the files that it names (file_sd_configs), each with the module that its relabel_configs
    choose; without them they are values at the head of the file, for you to fill in.
    """
    from cemd.commands.blackbox import import_modules

    imported = import_modules(file, prometheus, service=service, every_seconds=every)
    if write is not None:
        write.write_text(imported.text())
        found = counted(len(imported.probes), "probe")
        fill = " Fill in the values at its head." if imported.values else ""
        services = f'The catalogue must know the service "{service}" (config/catalogue/*.yaml).'
        click.echo(f"{write}: {found}.{fill} {services}", err=True)
    if as_json:
        click.echo(json.dumps({"probes": imported.probes, "values": imported.values, "notes": imported.notes}))
    elif write is None:
        click.echo(imported.text(), nl=False)
    for line in imported.notes if not as_json else ():
        click.echo(line, err=True)


@main.command()
@click.option(
    "--write", type=click.Path(file_okay=False, path_type=Path), help="Write one file a kind into this folder."
)
@JSON
def schema(write: Path | None, as_json: bool) -> None:
    """Prints the JSON Schema of every kind of file, so that editors can complete and check them."""
    from cemd.config.schema import schemas, write_schemas
    from cemd.daemon.kinds import kinds
    from cemd.demo.world.schema import scenario_schema

    found = {**schemas(kinds()), "scenario": scenario_schema()}
    if write is None:
        click.echo(json.dumps(found, indent=2))
        return
    try:
        written = write_schemas(found, write)
    except OSError as exc:
        raise CemdError(f"{exc.filename}: {exc.strerror}; choose a folder that can be written.") from exc
    click.echo(json.dumps([str(path) for path in written], indent=2) if as_json else "\n".join(map(str, written)))


@main.group()
def config() -> None:
    """Accepted configurations: what was in effect when, what changed, and back again."""


@config.command()
@ROOT
@STATE
@JSON
def history(root: Path, state: Path | None, as_json: bool) -> None:
    """Lists the configurations that took effect, newest first."""
    from cemd.commands import epochs

    epochs.show_history(root, state, as_json=as_json)


@config.command()
@click.argument("old", required=False)
@click.argument("new", required=False)
@ROOT
@STATE
@JSON
def diff(old: str | None, new: str | None, root: Path, state: Path | None, as_json: bool) -> None:
    """Says what changed from epoch OLD to epoch NEW.

    Default: from the epoch that was accepted last to the files as they are now: what a reload would change.
    """
    from cemd.commands import epochs

    epochs.show_diff(root, state, old, new, as_json=as_json)


@config.command()
@click.argument("epoch")
@ROOT
@STATE
@JSON
def rollback(epoch: str, root: Path, state: Path | None, as_json: bool) -> None:
    """Lets EPOCH hold from the next reload on, until the files change. Tells a running daemon to reload."""
    from cemd.commands import epochs

    epochs.roll_back(root, state, epoch, as_json=as_json)
