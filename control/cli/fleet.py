"""``mixminus fleet``: the bot hosts that share a store, and who has which call."""

from __future__ import annotations

from pathlib import Path

import typer

from .ask import Json, Server, ask
from .errors import FAILED, NOT_FOUND, CliError
from .output import JsonOption, print_json, print_table, printable
from .state_options import STATE_DIR, HostState


def register(app: typer.Typer) -> None:
    """Add the ``fleet`` commands."""
    group = typer.Typer(
        help="Look at the bot hosts that share a store, through one of them.",
        add_completion=False,
        no_args_is_help=True,
    )
    group.command("instances")(instances)
    group.command("calls")(calls)
    group.command("reconcile")(reconcile)
    app.add_typer(group, name="fleet")


def instances(state_dir: HostState = STATE_DIR, as_json: JsonOption = False) -> None:
    """List the hosts: which of them live, and what each carries.

    Example: mixminus fleet instances
    """
    told = _ask(state_dir, "/mixminus/v1/fleet")
    if as_json:
        print_json({name: told[name] for name in told if name != "calls"})
        return
    rows = [
        [
            one["instance"] + (" (asked)" if one["instance"] == told["instance"] else ""),
            _state(one),
            f"{one['rows']}/{one['capacity']}",
            f"{100 * one['load']:.0f} %" if one["isAlive"] else "-",
            str(one["beat"]),
            printable(one["url"]),
        ]
        for one in told["instances"]
    ]
    print_table(("instance", "state", "calls", "load", "beat", "url"), rows, empty="no instances")


def calls(state_dir: HostState = STATE_DIR, as_json: JsonOption = False) -> None:
    """List the living calls of all hosts, and who has each.

    Example: mixminus fleet calls --json
    """
    told = _ask(state_dir, "/mixminus/v1/fleet")["calls"]
    if as_json:
        print_json({"value": told})
        return
    rows = [
        [
            call["callId"] or "-",
            call["owner"] or "(offered)",
            str(call["epoch"]),
            call["media"],
            call["state"],
            printable(call["peer"].get("displayName") or call["peer"].get("id") or ""),
        ]
        for call in told
    ]
    print_table(("id", "owner", "epoch", "media", "state", "with"), rows, empty="no calls")


def reconcile(state_dir: HostState = STATE_DIR, as_json: JsonOption = False) -> None:
    """Compare service, store and host; exit 1 on a difference.

    Example: mixminus fleet reconcile
    """
    told = _ask(state_dir, "/debug/reconcile")
    if as_json:
        print_json(told)
    else:
        print(
            f"{told['instance']}: service {told['service']}, store {told['store']},"
            f" this host {told['engine']}"
        )
        rows = [
            [one["callId"] or one["lineage"] or "-", one["owner"] or "-", one["difference"]]
            for one in told["differences"]
        ]
        print_table(("call", "owner", "difference"), rows, empty="no differences")
        for failure in told["unanswered"]:
            print(f"not answered: {printable(failure)}")
    if told["differences"] or told["unanswered"]:
        raise typer.Exit(FAILED)


def _ask(state_dir: Path, path: str) -> Json:
    from ..host.hostfile import HostFile, HostFileError

    try:
        host = HostFile.load(state_dir)
    except HostFileError as exc:
        raise CliError(str(exc), NOT_FOUND) from None
    command = f"mixminus serve --state {state_dir}"
    return ask(Server(host.url, host.token, host.ca_file, "bot host", command), "GET", path)


def _state(one: Json) -> str:
    if not one["isAlive"]:
        return f"silent for {one['silentS']:.0f} s"
    return "draining" if one["isDraining"] else "alive"
