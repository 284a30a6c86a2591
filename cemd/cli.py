"""The command line: one small function a command. Wings are imported where they are used, so that help is quick.

Exit codes: 0 done, 1 the thing asked about is wrong (a faulty file, a broken promise), 2 the words of the call are.
"""

from __future__ import annotations

import json
import sys
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


_MISSING = (
    "cemd: the package {package} is not installed here, so this environment is older than the code; install cemd again"
    " (in a clone: `python3 start.py --help` does so)."
)


class _Cemd(click.Group):
    """Turns the errors of the house into one sentence and exit code 1; lists commands in the order of a first day."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as exc:
            click.echo("\n".join(map(str, exc.faults)), err=True)
            count = len(exc.faults)
            click.echo(f"{count} {'fault' if count == 1 else 'faults'}; nothing was changed.", err=True)
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


@click.group(cls=_Cemd, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="cemd")
def main() -> None:
    """Watches telecom services the way customers live them, and tells exactly the affected customers.

    Start with `cemd demo`: a small operator on this machine, a fault, the incident, its cause, and who was told.
    Then `cemd check` your own files and `cemd run`.
    """


@main.command()
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(30, 86_400),
    help="End by itself, at the latest after so many seconds of watching.",
)
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8480, show_default=True, help="Port of the page; 0: any."
)
@click.option("--keep", is_flag=True, help="Keep the scratch folder (files, state, mails) afterwards.")
@JSON
def demo(seconds: float | None, port: int, keep: bool, as_json: bool) -> None:
    """Shows cemd at work on DemoTelco, a small operator with real servers on loopback.

    Within two minutes: a fault, the incident with its cause, who was told, the all-clear. Ends with Ctrl-C, or by
    itself with --for. Exit code 0 only if the fault was found, its cause named, the hurt told and the all-clear sent.
    """
    from cemd.demo.command import run_demo

    sys.exit(run_demo(seconds=seconds, port=port, keep=keep, as_json=as_json))


@main.command()
@ROOT
@STATE
@click.option("--no-prober", is_flag=True, help="Start no prober: another unit runs `cemd agent`.")
@click.option("--port", type=click.IntRange(0, 65_535), default=None, help="Instead of listen.port; 0: any free port.")
@click.option("--log-json/--log-text", default=None, help="Form of log lines; default: text at a terminal.")
def run(root: Path, state: Path | None, no_prober: bool, port: int | None, log_json: bool | None) -> None:
    """Runs the daemon until SIGTERM or Ctrl-C. SIGHUP reloads the files."""
    from cemd.daemon.house import run_house

    sys.exit(run_house(root, state=state, with_prober=not no_prober, port=port, log_json=log_json))


@main.command()
@click.option("--socket", type=click.Path(path_type=Path), required=True, help="Unix socket of the daemon.")
@click.option(
    "--state", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the prober's journal."
)
@click.option("--log-json/--log-text", default=None, help="Form of log lines; default: text at a terminal.")
@click.option("--vantage", default="home", show_default=True, help="Name of this vantage point; probes name it.")
def agent(socket: Path, state: Path, log_json: bool | None, vantage: str) -> None:
    """Runs a prober that takes its probes from a daemon and sends it what it measured."""
    from cemd.daemon.agent import run_agent

    sys.exit(run_agent(socket, state, log_json=log_json, vantage=vantage))


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to answer on; 0.0.0.0 or :: for all.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=862, show_default=True, help="UDP port; 0: any free one."
)
@click.option("--stateless", is_flag=True, help="Hand the sender's numbers back instead of numbering the answers.")
@click.option(
    "--key-file", type=click.Path(dir_okay=False, path_type=Path), help="Answer only packets signed with this."
)
@click.option("--allow", multiple=True, metavar="NETWORK", help="Answer only this network; may be given again.")
@click.option("--log-json/--log-text", "log_json", default=None, help="Default: text on a terminal, else JSON.")
def reflect(
    host: str, port: int, stateless: bool, key_file: Path | None, allow: tuple[str, ...], log_json: bool | None
) -> None:
    """Answers test packets of STAMP and TWAMP-Light: the far end of `stamp` and `voice` probes."""
    import ipaddress

    from cemd.daemon.reflect import run_reflector

    try:
        networks = tuple(map(ipaddress.ip_network, allow))
    except ValueError as exc:
        raise click.BadParameter(f"{exc}; write a network such as 192.0.2.0/24.", param_hint="--allow") from exc
    sys.exit(run_reflector(host, port, stateful=not stateless, key_file=key_file, allow=networks, log_json=log_json))


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


@main.command()
@ROOT
@JSON
def check(root: Path, as_json: bool) -> None:
    """Checks all files and starts nothing. Prints every fault as file:line:column: fact; remedy."""
    from cemd.config.load import load
    from cemd.daemon.kinds import kinds

    try:
        loaded = load(root, kinds())
    except ConfigError as exc:
        if not as_json:
            raise
        faults = [
            {"file": f.file, "line": f.line, "column": f.column, "fact": f.fact, "remedy": f.remedy} for f in exc.faults
        ]
        click.echo(json.dumps({"ok": False, "faults": faults}, indent=2))
        sys.exit(1)
    counts = {name: len(getattr(loaded.configuration, name)) for name in _COUNTED}
    if as_json:
        click.echo(
            json.dumps({"ok": True, "faults": [], "warnings": list(loaded.warnings), "counts": counts}, indent=2)
        )
        return
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}")
    click.echo(f"All files are right: {', '.join(counted(counts[name], *_COUNTED[name]) for name in _COUNTED)}.")


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
    Prometheus's own file, as far as they stand there; else they are values at the head of the file, for you to fill in.
    """
    from cemd.commands.blackbox import import_modules

    imported = import_modules(file, prometheus, service=service, every_seconds=every)
    if write is not None:
        write.write_text(imported.text())
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


@main.command()
@click.argument("what")
@click.option("--customer", help="Reference of a customer: why this one was told of WHAT, or not.")
@ROOT
@STATE
@JSON
def explain(what: str, customer: str | None, root: Path, state: Path | None, as_json: bool) -> None:
    """Explains an incident, finding, communication or notice by its id: the chain from sample to message.

    WHAT may also be a kind of probe or channel (icmp, email, ...): its parameters with meaning, unit and default.
    """
    from cemd.commands.explain import print_explanation

    print_explanation(what, customer=customer, root=root, state=state, as_json=as_json)


@main.command()
@click.option(
    "--input", "source", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of CSV files (timestamp,value), one series each, at any depth.",
)  # fmt: skip
@click.option(
    "--output", "target", required=True, type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the scores (timestamp,anomaly_score): the same relative paths, one row per row.",
)  # fmt: skip
@click.option("--gate", is_flag=True, help="Only the sample that opens an alarm has its score; all others have 0.")
@click.option(
    "--tier", type=click.Choice(["deep", "bank"]), default="deep", show_default=True, help="Which detector judges."
)
@JSON
def detect(source: Path, target: Path, gate: bool, tier: str, as_json: bool) -> None:
    """Replays folders of CSV through the anomaly detector, as it would have judged them live.

    A score of 1 or more is an alarm; every score comes from its row and rows before it only. Faulty files are told as
    file:line: fact; remedy, get no scores, and make the exit code 1.
    """
    from cemd.commands.detect import run_detect

    sys.exit(run_detect(source, target, tier=tier, gate=gate, as_json=as_json))


@main.command()
@click.option("--from", "since", required=True, metavar="TIME", help="2026-11-28T14:00Z, seconds since 1970, or -6h.")
@click.option("--to", "until", default="now", show_default=True, metavar="TIME", help="As --from, or `now`.")
@click.option(
    "--rules",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder in the place of rules/ (or a whole root); default: the files below the root as they are now.",
)
@click.option(
    "--warm-up-hours",
    type=click.FloatRange(0, 24 * 366),
    default=24.0,
    show_default=True,
    help="How long before --from baselines learn, where the log does not reach back.",
)
@ROOT
@STATE
@JSON
def replay(  # noqa: PLR0913, RUF100 -- one option each
    since: str, until: str, rules: Path | None, warm_up_hours: float, root: Path, state: Path | None, as_json: bool
) -> None:
    """Runs stored history through another rule set: which findings would have come, which would have gone.

    Exact as far as the log reaches back, from samples before that. Reads the state directory beside a running daemon,
    writes nothing, sends nothing.
    """
    from cemd.commands.replay import show_replay

    asked = (since, until, warm_up_hours * 3600.0)
    show_replay(asked, rules=rules, root=root, state=state, as_json=as_json)


@main.command()
@click.argument("finding")
@click.argument("label", type=click.Choice(["true", "false", "benign"]))
@click.option("--actor", required=True, help="Who says so: a name of staff.")
@click.option("--note", default="", help="Why, for those who read it later.")
@click.option("--url", help="Page of the daemon; default: the one that config/cemd.yaml names.")
@ROOT
@JSON
def label(finding: str, label: str, actor: str, note: str, url: str | None, root: Path, as_json: bool) -> None:
    """Says what the FINDING of a detector was: true (a fault), false (none), or benign (the new normal).

    The detector learns from it: after false it asks for more, after benign it learns the baseline anew at once, after
    true it keeps what was measured out of the baseline. The label is logged and stands in the audit trail.
    """
    from cemd.commands.label import label_finding

    label_finding(finding, label, actor=actor, note=note, url=url, root=root, as_json=as_json)


@main.group()
def customers() -> None:
    """The customer file."""


@customers.command("check")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@ROOT
@JSON
def check_customers(file: Path, root: Path, as_json: bool) -> None:
    """Reads a customer CSV and prints every fault; loads nothing.

    \b
    The first line names the columns; all of them, in this order:
      reference   the operator's own name of the customer; appears in no log
      site        where the customer is served; a site of the catalogue
      services    what the customer has: sold services, separated by ;
      segment     any word, such as business
      language    of the texts: en, de, pt-BR; empty: the operator's
      zone        IANA time zone; empty: the site's, else the operator's
      email       name@domain, or empty
      sms         +491701234567, or empty
      webhook     an https address, or empty
      basis       lawful: contract, legal_duty, vital_interest, consent; by ;
      preferred   email, sms or webhook; empty: the order of the policy
      flags       machine, abroad, unsubscribed, critical; by ;
    """
    from cemd.commands.people import check_file

    check_file(file, root, as_json=as_json)


@customers.command("show")
@click.argument("reference")
@ROOT
@STATE
@JSON
def show_customer(reference: str, root: Path, state: Path | None, as_json: bool) -> None:
    """Lists what one customer was told, by the operator's own reference. Prints no address."""
    from cemd.commands.people import show_told

    show_told(reference, root, state, as_json=as_json)


@main.command()
@ROOT
@STATE
@JSON
def notices(root: Path, state: Path | None, as_json: bool) -> None:
    """Lists communications: what, to how many, in which phase and state, and why others were not told."""
    from cemd.commands.people import show_communications

    show_communications(root, state, as_json=as_json)


@main.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--with-master-key", is_flag=True, help="Put master.key beside the files: keep such a backup locked up.")
@ROOT
@STATE
@JSON
def backup(target: Path, with_master_key: bool, root: Path, state: Path | None, as_json: bool) -> None:
    """Writes a consistent copy of the state into the folder TARGET; the daemon may go on running."""
    from cemd.commands.keeping import back_up

    back_up(target, root, state, with_master_key=with_master_key, as_json=as_json)


@main.command()
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@ROOT
@STATE
@JSON
def restore(source: Path, root: Path, state: Path | None, as_json: bool) -> None:
    """Puts a backup in place; the daemon must be stopped. Sending is held afterwards until a person releases it."""
    from cemd.commands.keeping import put_back

    put_back(source, root, state, as_json=as_json)


@main.command()
@click.option("--seeds", required=True, help="A-B, both included, or one number.")
@click.option(
    "--days", type=click.FloatRange(0.01, 3660), default=2.0, show_default=True, help="Simulated days per seed."
)
@click.option(
    "--scenario",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Whose customers live in it; default: simulation.yaml, made for this.",
)
@click.option("--bare", is_flag=True, help="No scenario, but a bare operator: denser, without customers' lives.")
@click.option(
    "--rules",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with analyze/, improve/, report/; default: the shipped rules.",
)
@click.option("--customers", type=click.IntRange(1, 1_000_000), help="Instead of the scenario's number.")
@click.option("--until", type=click.FloatRange(0), help="Of a plan: days after which nothing begins to go wrong.")
@click.option("--only", help="Of a plan: names of what goes wrong, with commas; `none`: nothing.")
@click.option(
    "--shrink-lives",
    type=click.IntRange(0, 10_000),
    default=60,
    show_default=True,
    help="Lives spent on making a failing one smaller; 0: none.",
)
@click.option("--jobs", type=click.IntRange(1, 64), help="Seeds lived at once; default: one per processor.")
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to which each life is added as it ends; a run that was cut short goes on where it was.",
)
@JSON
def simulate(scenario: Path | None, rules: Path | None, *, bare: bool, as_json: bool, **plan: Any) -> None:
    """Lives whole scenarios with kills, full disks, clock steps, reloads, bad input and lying transports.

    After every entry the promise checker looks. A broken promise prints its seed, is shrunk to the smallest plan that
    still breaks it, and the command that lives this plan again; exit code 1.
    """
    from cemd.daemon.kinds import kinds
    from cemd.demo.files import shipped_root
    from cemd.demo.world.reading import SCENARIOS
    from cemd.simulation.command import Wanted, run_simulation

    if bare and scenario is not None:
        raise click.UsageError("--bare lives no scenario; leave out one of --bare and --scenario.")
    wanted = Wanted(
        scenario=None if bare else scenario or SCENARIOS / "simulation.yaml",
        rules=rules or shipped_root() / "rules",
        as_json=as_json,
        **plan,
    )
    sys.exit(run_simulation(wanted, kinds()))


@main.group()
def bench() -> None:
    """Measures how right cemd is."""


@bench.command()
@click.option(
    "--scenario", type=click.Path(dir_okay=False, path_type=Path), help="Scenario file; default: DemoTelco's own days."
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    help="Decides everything: the same seed gives the same file. Required, but for --compare.",
)
@click.option("--days", type=click.FloatRange(0.01, 3660), help="Instead of the scenario's length.")
@click.option("--customers", type=click.IntRange(1, 1_000_000), help="Instead of the scenario's number.")
@click.option(
    "--rules",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder with analyze/, improve/, report/; default: the shipped rules.",
)
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="Write the scorecard here.")
@click.option("--page", type=click.Path(dir_okay=False, path_type=Path), help="Write the report page (HTML) here.")
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Say what changed from scorecard A to scorecard B; lives no day.",
)
def day(
    scenario: Path | None,
    seed: int | None,
    days: float | None,
    customers: int | None,
    rules: Path | None,
    out: Path | None,
    page: Path | None,
    compare: tuple[Path, Path] | None,
) -> None:
    """Lives through an operator's day, whose truth is known, in virtual time, and keeps the score.

    The real wings and rule files run in a seeded world with labelled faults and traps. docs/day.md explains the
    scenario file and the scorecard.
    """
    from cemd.daemon.kinds import kinds
    from cemd.demo.day.command import compare_days, run_day

    if compare is not None:
        sys.exit(compare_days(*compare))
    if seed is None:
        raise click.UsageError("--seed is needed, or --compare A.json B.json.")
    sys.exit(
        run_day(
            scenario=scenario,
            seed=seed,
            days=days,
            customers=customers,
            rules=rules,
            kinds=kinds(),
            out=out,
            page=page,
        )
    )
