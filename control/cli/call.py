"""``mixminus call``: make, look at and end the calls of a running bot host."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from .ask import Json, Server, ask
from .completion import complete_call, complete_meeting, complete_user
from .errors import NOT_FOUND, USAGE, CliError
from .output import JsonOption, print_json, print_table, printable
from .state_options import STATE_DIR, HostState

CallArgument = Annotated[
    str,
    typer.Argument(metavar="ID", help="The call's id.", autocompletion=complete_call),
]


class Media(StrEnum):
    """Where a call's audio goes."""

    APP = "app"
    SERVICE = "service"


def register(app: typer.Typer) -> None:
    """Add the ``call`` commands."""
    group = typer.Typer(
        help="Make, look at and end the calls of a running bot host.",
        add_completion=False,
        no_args_is_help=True,
    )
    group.command("create")(create)
    group.command("list")(list_calls)
    group.command("get")(get)
    group.command("hangup")(hangup)
    app.add_typer(group, name="call")


def create(
    user: Annotated[
        list[str] | None,
        typer.Option(
            help="Whom to call: an id, or a name of dev.json. Several: a group call.",
            autocompletion=complete_user,
        ),
    ] = None,
    phone: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="A telephone to call, as +14255550123.")
    ] = None,
    meeting: Annotated[
        str | None,
        typer.Option(
            help="A meeting to join: its link, joinMeetingId or name.",
            autocompletion=complete_meeting,
        ),
    ] = None,
    passcode: Annotated[
        str | None, typer.Option(help="The passcode of --meeting, when it is a joinMeetingId.")
    ] = None,
    guest: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --meeting: join as a guest.")
    ] = None,
    media: Annotated[
        Media, typer.Option(help="Whose the audio is: the bot's (app), or the service's.")
    ] = Media.APP,
    state_dir: HostState = STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Call a user, several, or a telephone; or join a meeting.

    Example: mixminus call create --user John

    Example: mixminus call create --meeting "Weekly sync" --guest "Note taker"
    """
    if (user is not None) + (phone is not None) + (meeting is not None) != 1:
        raise CliError("expected one of --user, --phone and --meeting", USAGE)
    if meeting is None and (passcode is not None or guest is not None):
        raise CliError("expected --passcode and --guest only with --meeting", USAGE)
    wish: dict[str, Any] = {"media": media.value}
    if user is not None:
        wish |= {"user": user[0]} if len(user) == 1 else {"users": user}
    elif phone is not None:
        wish["phone"] = phone
    elif meeting is not None:
        wish |= _way_to(meeting, state_dir)
    wish |= {"passcode": passcode} if passcode is not None else {}
    wish |= {"guestName": guest} if guest is not None else {}
    _print(ask_host(state_dir, "POST", "", wish), as_json)


def list_calls(state_dir: HostState = STATE_DIR, as_json: JsonOption = False) -> None:
    """List the calls that are, and the last ones that were.

    Example: mixminus call list --json
    """
    from ..camel import camel_keys

    calls = ask_host(state_dir, "GET", "")["value"]
    if as_json:
        print_json({"value": camel_keys(calls)})
        return
    rows = [
        [call["callId"], call["state"], _with(call), _seconds(call), call["error"] or ""]
        for call in calls
    ]
    print_table(("id", "state", "with", "for", "error"), rows, empty="no calls")


def get(
    call_id: CallArgument, state_dir: HostState = STATE_DIR, as_json: JsonOption = False
) -> None:
    """Show a call: its states, and its frames at each hop.

    Example: mixminus call get 45c02f79-f359-46cd-8b8f-5606629bc234 --json
    """
    _print(ask_host(state_dir, "GET", _path(call_id)), as_json)


def hangup(
    call_id: CallArgument, state_dir: HostState = STATE_DIR, as_json: JsonOption = False
) -> None:
    """End a call, and wait until nothing of it is left.

    Example: mixminus call hangup 45c02f79-f359-46cd-8b8f-5606629bc234
    """
    ask_host(state_dir, "DELETE", _path(call_id))
    _print(ask_host(state_dir, "GET", _path(call_id)), as_json)


def ask_host(state_dir: Path, method: str, path: str, body: object = None) -> Json:
    """Ask the bot host of *state_dir* about its calls.

    Raises: CliError.
    """
    from ..host.hostfile import HostFile, HostFileError

    try:
        host = HostFile.load(state_dir)
    except HostFileError as exc:
        raise CliError(str(exc), NOT_FOUND) from None
    command = f"mixminus serve --state {state_dir}"
    server = Server(host.url, host.token, host.ca_file, "bot host", command)
    return ask(server, method, f"/mixminus/v1/calls{path}", body)


def _way_to(meeting: str, state_dir: Path) -> Json:
    """Tell a join URL, a joinMeetingId and the name of a meeting apart.

    A host knows the meetings that were there when it started; those of dev.json are newer.
    """
    from ..devfile import DevFile, DevFileError

    if "/" in meeting:
        return {"joinUrl": meeting}
    if not any(character.isalpha() for character in meeting):
        return {"joinMeetingId": meeting}
    try:
        known = DevFile.load(state_dir).meetings
    except DevFileError:
        known = ()  # The call service has another state directory, or is Microsoft's.
    for one in known:
        if one.subject.casefold() == meeting.casefold():
            way = {"joinMeetingId": one.join_meeting_id}
            return way if one.passcode is None else {**way, "passcode": one.passcode}
    return {"meeting": meeting}


def _path(call_id: str) -> str:
    return f"/{quote(call_id, safe='')}"


def _with(call: Json) -> str:
    user = call["user"]
    return user["displayName"] or user["id"] or ""


def _seconds(call: Json) -> str:
    """Return how long it is or was in its last state but the final one."""
    times = {change["state"]: change["atMs"] for change in call["states"]}
    if "established" not in times:
        return ""
    end_ms = times.get("terminated")
    return "" if end_ms is None else f"{(end_ms - times['established']) / 1000:.1f} s"


def _print(call: Json, as_json: bool) -> None:
    from ..camel import camel_keys

    if as_json:
        print_json(camel_keys(call))
        return
    print(f"{call['callId']}  {call['state']}  {printable(_with(call))}".rstrip())
    for change in call["states"]:
        print(f"  {change['atMs'] / 1000.0:8.3f} s  {change['state']}")
    result = call["resultInfo"]
    if result is not None:
        print(f"  {result['code']}/{result['subcode']} {printable(result['message'])}")
    for person in call["participants"]:
        muted = ", muted" if person["isMuted"] else ""
        print(f"  with {printable(person['displayName'] or person['id'])}{muted}")
    if call["error"] is not None:
        print(f"  the bot failed: {printable(call['error'])}")
    kinds = ("voice", "silence", "concealed", "skipped", "late")
    if call["legs"]:
        rows = [[hop, *(f"{leg[kind]:,}" for kind in kinds)] for hop, leg in call["legs"].items()]
        print_table(("frames", *kinds), rows, empty="")
