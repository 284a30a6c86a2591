"""Commands that measure: detectors on data, other rules on history, promises in simulated lives, an operator's day."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cemd.cli.base import JSON, ROOT, STATE, main


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
    file:line: fact; remedy, get no scores, and make the exit code 1. What is odd and yet scored (nan, values beyond
    1e18, times that go back, a last line that breaks off) is told in the same form. An empty value is a gap.
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
    "--warm-up",
    metavar="LENGTH",
    help="How long before --from baselines and windows learn where the log does not reach back: 90m, 6h, 1d, 0s. "
    "Default: as long as windows look back, until every series is judged, and twelve times the time asked; a day at "
    "most.",
)
@ROOT
@STATE
@JSON
def replay(  # noqa: PLR0913, RUF100 -- one option each
    since: str, until: str, rules: Path | None, warm_up: str | None, root: Path, state: Path | None, as_json: bool
) -> None:
    """Runs stored history through another rule set: which findings would have come, which would have gone.

    Exact as far as the log reaches back, from samples before that. Reads the state directory beside a running daemon,
    writes nothing, sends nothing.
    """
    from cemd.commands.replay import show_replay

    show_replay((since, until, warm_up), rules=rules, root=root, state=state, as_json=as_json)


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
