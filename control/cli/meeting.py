"""``mixminus meeting``: make and list meetings, and let guests in from the lobby."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from .ask import Json, Server, ask
from .completion import complete_meeting, complete_user
from .errors import NOT_FOUND, USAGE, CliError
from .output import JsonOption, print_json, print_table, printable
from .state_options import STATE_DIR, ServiceState

UserOption = Annotated[
    str,
    typer.Option(
        "--user",
        help="In whose name.",
        show_default="the first user of dev.json",
        autocompletion=complete_user,
    ),
]
OrganizerOption = Annotated[
    str,
    typer.Option(
        "--organizer",
        "--user",
        help="Whose it is.",
        show_default="the first user of dev.json",
        autocompletion=complete_user,
    ),
]
MeetingArgument = Annotated[
    str,
    typer.Argument(
        metavar="MEETING",
        help="Its joinMeetingId, link, thread id or subject.",
        autocompletion=complete_meeting,
    ),
]
GuestArgument = Annotated[
    str, typer.Argument(metavar="GUEST", help="A participant id, or a name in the lobby.")
]


def register(app: typer.Typer) -> None:
    """Add the ``meeting`` commands."""
    group = typer.Typer(
        help="Make and list meetings, and let guests in from the lobby.",
        add_completion=False,
        no_args_is_help=True,
    )
    group.command("create")(create)
    group.command("list")(list_meetings)
    for command in (lobby, admit, deny):
        group.command(command.__name__)(command)
    app.add_typer(group, name="meeting")


def create(
    subject: Annotated[str, typer.Option(help="What it is about.")] = "",
    passcode: Annotated[bool, typer.Option(help="Whether joining by id takes a passcode.")] = True,
    waits: Annotated[
        bool, typer.Option("--lobby/--no-lobby", help="Whether guests wait to be admitted.")
    ] = True,
    channel: Annotated[bool, typer.Option("--channel", help="In a channel of its own.")] = False,
    user: OrganizerOption = "",
    state_dir: ServiceState = STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Make a meeting; print what it is joined by.

    Example: mixminus meeting create --subject "Weekly sync" --no-lobby
    """
    body = {"subject": subject, "passcode": passcode, "lobby": waits, "channel": channel}
    meeting = _ask(state_dir, user, "POST", "", body)
    _print(meeting, as_json, _show_meeting)


def list_meetings(
    user: UserOption = "", state_dir: ServiceState = STATE_DIR, as_json: JsonOption = False
) -> None:
    """List all meetings.

    Example: mixminus meeting list --json
    """
    _print(_ask(state_dir, user, "GET", ""), as_json, _show_meetings)


def lobby(
    meeting: MeetingArgument,
    user: UserOption = "",
    state_dir: ServiceState = STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """List who waits in the lobby.

    Example: mixminus meeting lobby "Weekly sync"
    """
    path = _find(state_dir, user, meeting)
    _print(_ask(state_dir, user, "GET", f"{path}/lobby"), as_json, _show_lobby)


def admit(
    meeting: MeetingArgument,
    guest: GuestArgument,
    user: UserOption = "",
    state_dir: ServiceState = STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Let a guest in.

    Example: mixminus meeting admit "Weekly sync" "Note taker"
    """
    _decide(state_dir, user, meeting, guest, "admit", as_json)


def deny(
    meeting: MeetingArgument,
    guest: GuestArgument,
    user: UserOption = "",
    state_dir: ServiceState = STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Send a guest away.

    Example: mixminus meeting deny "Weekly sync" "Note taker"
    """
    _decide(state_dir, user, meeting, guest, "deny", as_json)


def _decide(state_dir: Path, user: str, meeting: str, guest: str, verb: str, as_json: bool) -> None:
    path = _find(state_dir, user, meeting)
    waiting = _ask(state_dir, user, "GET", f"{path}/lobby")["value"]
    found = [
        item
        for item in waiting
        if guest.casefold() in (item["participantId"], (item["displayName"] or "").casefold())
    ]
    if not found:
        names = ", ".join(item["displayName"] or item["participantId"] for item in waiting)
        who = f"there wait {names}" if names else "nobody waits"
        raise CliError(f"no {guest!r} in the lobby: {who}", NOT_FOUND)
    if len(found) > 1:
        raise CliError(f"{len(found)} guests are called {guest!r}: say the participant id", USAGE)
    participant_id = found[0]["participantId"]
    _ask(state_dir, user, "POST", f"{path}/lobby/{quote(participant_id)}/{verb}")
    done = {"admit": "admitted", "deny": "denied"}[verb]
    _print({**found[0], "decision": done}, as_json, _show_decision)


def _find(state_dir: Path, user: str, meeting: str) -> str:
    """Return the path of a meeting, by whatever it is named with."""
    from ..graph.joinurl import JoinUrlError, parse_join_url

    names = {meeting.strip(), "".join(meeting.split()).replace("-", "")}
    if "/" in meeting:
        try:
            info = parse_join_url(meeting)
        except JoinUrlError as exc:
            raise CliError(f"MEETING: {exc}", USAGE) from None
        names = {name for name in (info.thread_id, info.join_meeting_id) if name is not None}
    wanted = {name.casefold() for name in names if name}
    found = [
        known
        for known in _ask(state_dir, user, "GET", "")["value"]
        if wanted & {known[name].casefold() for name in ("joinMeetingId", "threadId", "subject")}
    ]
    if not found:
        raise CliError(
            f"no meeting {meeting!r}: `mixminus meeting list --state {state_dir}` shows them",
            NOT_FOUND,
        )
    if len(found) > 1:
        raise CliError(f"{len(found)} meetings are {meeting!r}: say the joinMeetingId", USAGE)
    return f"/{quote(found[0]['joinMeetingId'], safe='')}"


def _ask(state_dir: Path, user: str, method: str, path: str, body: object = None) -> Json:
    """Ask the call service of *state_dir* about its meetings, in the name of *user*."""
    from ..devfile import DevFile, DevFileError, UnknownUserError

    try:
        dev = DevFile.load(state_dir)
        who = dev.find_user(user) if user else dev.users[0]
    except (DevFileError, UnknownUserError) as exc:
        raise CliError(str(exc), NOT_FOUND) from None
    command = f"mixminus service --state {state_dir}"
    server = Server(dev.graph_base_url, who.token, dev.ca_file, "call service", command)
    return ask(server, method, f"/mixminus/v1/meetings{path}", body)


def _print(answer: Json, as_json: bool, show: Callable[[Json], None]) -> None:
    if as_json:
        print_json(answer)
    else:
        show(answer)


def _show_meeting(meeting: Json) -> None:
    print(f"{_subject(meeting)}, by {_organizer(meeting)}")
    print(f"  join URL       {meeting['joinUrl']}")
    print(f"  thread id      {meeting['threadId']}")
    if meeting["messageId"] != "0":
        print(f"  message id     {meeting['messageId']}")
    print(f"  joinMeetingId  {meeting['joinMeetingId']}")
    print(f"  passcode       {meeting['passcode'] or '(none)'}")


def _show_meetings(answer: Json) -> None:
    rows = [
        [
            _subject(meeting),
            _organizer(meeting),
            meeting["joinMeetingId"],
            meeting["passcode"] or "(none)",
            meeting["joinUrl"],
        ]
        for meeting in answer["value"]
    ]
    headings = ("subject", "organizer", "joinMeetingId", "passcode", "join URL")
    print_table(headings, rows, empty="no meetings")


def _subject(meeting: Json) -> str:
    return printable(meeting["subject"] or ("(ad hoc)" if meeting["isAdHoc"] else "(no subject)"))


def _organizer(meeting: Json) -> str:
    return printable(meeting["organizer"]["displayName"] or meeting["organizer"]["id"])


def _show_lobby(answer: Json) -> None:
    rows = [
        [guest["displayName"] or "", guest["participantId"], guest["since"]]
        for guest in answer["value"]
    ]
    print_table(("name", "participant id", "since"), rows, empty="nobody waits")


def _show_decision(answer: Json) -> None:
    print(f"{printable(answer['displayName'] or answer['participantId'])}: {answer['decision']}")
