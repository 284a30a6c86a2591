"""Commands that run something until it is told to end."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cemd.cli.base import JSON, ROOT, STATE, main


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
