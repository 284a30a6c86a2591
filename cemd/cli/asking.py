"""Commands that ask a running or stopped cemd: why, who was told; and a word of a person to it."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import quote

import click

from cemd.cli.base import JSON, ROOT, STATE, main


@main.command()
@click.argument("what", required=False)
@click.option("--customer", help="Reference of a customer: why this one was told of WHAT, or not.")
@ROOT
@STATE
@JSON
def explain(what: str | None, customer: str | None, root: Path, state: Path | None, as_json: bool) -> None:
    """Explains an incident, finding, communication or notice by its id: the chain from sample to message.

    The page and `cemd notices` show ids. WHAT may also be a word of the files, and its keys are told with meaning, unit
    and default: a kind of probe or channel (icmp, email, ...), a part of them (indicator, grouping for incidents and
    who confirms them, policy for who is told, ...), or customers for the customer file. Without WHAT: all the words.
    """
    from cemd.commands.explain import print_explanation, print_words

    if what is None and customer is not None:
        raise click.UsageError("name the incident or communication of which --customer was told, or not.")
    if what is None:
        print_words(as_json=as_json)
        return
    print_explanation(what, customer=customer, root=root, state=state, as_json=as_json)


URL = click.option("--url", help="Page of the daemon; default: the one that config/cemd.yaml names.")


@main.command()
@URL
@ROOT
@JSON
def status(url: str | None, root: Path, as_json: bool) -> None:
    """Says how a running cemd is: whether it is ready, what a person has to mend, what is hurt.

    Exit code 1 where nobody answers, where it is not ready, or where something is to mend: a reload that was refused,
    pushed data that is not taken or that nobody judges.
    """
    from cemd.commands.status import show_status

    show_status(root, url, as_json=as_json)


ACTOR = click.option("--actor", required=True, help="Who says so: a name of staff.")
NOTE = click.option("--note", default="", help="Why, for those who read it later.")


@main.command()
@click.argument("finding")
@click.argument("label", type=click.Choice(["true", "false", "benign"]))
@ACTOR
@NOTE
@URL
@ROOT
@JSON
def label(finding: str, label: str, actor: str, note: str, url: str | None, root: Path, as_json: bool) -> None:
    """Says what the FINDING of a detector was: true (a fault), false (none), or benign (the new normal).

    The detector learns from it: after false it asks for more, after benign it learns the baseline anew at once, after
    true it keeps what was measured out of the baseline. The label is logged and stands in the audit trail.
    """
    from cemd.commands.word import Speaker, say

    done = f"{finding} is labelled {label}; `cemd explain {finding}` shows it"
    speaker = Speaker(actor=actor, note=note, url=url, root=root)
    say(f"findings/{quote(finding, safe='')}/label_{label}", done, speaker, as_json=as_json)


@main.command()
@click.argument("incident")
@ACTOR
@NOTE
@URL
@ROOT
@JSON
def acknowledge(incident: str, actor: str, note: str, url: str | None, root: Path, as_json: bool) -> None:
    """Says that somebody works on INCIDENT: the page and `cemd explain` show who.

    This confirms nothing: that customers may hear of the cause, a person says on the page.
    """
    from cemd.commands.word import Speaker, say

    done = f"{incident} is acknowledged by {actor}"
    speaker = Speaker(actor=actor, note=note, url=url, root=root)
    say(f"incidents/{quote(incident, safe='')}/acknowledge", done, speaker, as_json=as_json)


@main.command("stop-sending")
@ACTOR
@NOTE
@URL
@ROOT
@JSON
def stop_sending(actor: str, note: str, url: str | None, root: Path, as_json: bool) -> None:
    """The kill switch: no message to customers leaves any more, in any communication, until somebody resumes.

    It also stands on the page. Staff are told as before; a restart does not lift it.
    """
    from cemd.commands.word import Speaker, say

    done = "All messages to customers are stopped; `cemd resume-sending` lets them leave again"
    say("kill", done, Speaker(actor=actor, note=note, url=url, root=root), as_json=as_json)


@main.command("resume-sending")
@ACTOR
@NOTE
@URL
@ROOT
@JSON
def resume_sending(actor: str, note: str, url: str | None, root: Path, as_json: bool) -> None:
    """Lifts the kill switch: messages to customers may leave again, as far as they are still due and still true.

    The hold after a restore is another one: a person lifts it on the page.
    """
    from cemd.commands.word import Speaker, say

    done = "Messages to customers may leave again, as far as they are still due and still true"
    say("unkill", done, Speaker(actor=actor, note=note, url=url, root=root), as_json=as_json)


@main.command("run-now")
@click.argument("probe")
@ACTOR
@NOTE
@URL
@ROOT
@JSON
def run_now(probe: str, actor: str, note: str, url: str | None, root: Path, as_json: bool) -> None:
    """Has the running cemd run PROBE (its name or uid) at once, beside its schedule; what it finds is kept.

    Asked for while it runs, it runs once more afterwards, however often it was asked for. A prober at its cap makes it
    all the same; so ten runs of a probe a minute, and sixty of all, are made at most, and what is refused beyond, with
    its reason, stands in the audit trail and beside the probe on the page, as what is made. Exit code 1 where it was
    refused, where no prober was there to be asked, or where it is outside of its times (`active`) and so is not
    measured. `cemd probe` measures from here instead, shows every phase, and keeps nothing.
    """
    from cemd.commands.word import Speaker, ask_for_run

    sys.exit(ask_for_run(probe, Speaker(actor=actor, note=note, url=url, root=root), as_json=as_json))


@main.group()
def customers() -> None:
    """The customer file."""


@customers.command("check")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@ROOT
@JSON
def check_customers(file: Path, root: Path, as_json: bool) -> None:
    """Reads a customer CSV and prints every fault; loads nothing.

    `cemd explain customers` tells the columns.
    """
    from cemd.commands.people import check_file

    check_file(file, root, as_json=as_json)


@customers.command("show")
@click.argument("reference")
@ROOT
@STATE
@JSON
def show_customer(reference: str, root: Path, state: Path | None, as_json: bool) -> None:
    """Lists what one customer was told, by the operator's own reference, and what policies in shadow decided: what the
    customer would have been told of, or why not. Prints no address.
    """
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
