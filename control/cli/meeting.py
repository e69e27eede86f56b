"""``mixminus meeting``: make and list meetings, and let guests in from the lobby."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from .errors import AUTH, FAILED, NOT_FOUND, USAGE, CliError

Json = dict[str, Any]

StateOption = Annotated[
    Path, typer.Option("--state", help="The state directory of the running `mixminus service`.")
]
UserOption = Annotated[
    str, typer.Option("--user", help="In whose name; default: the first user of dev.json.")
]
OrganizerOption = Annotated[
    str,
    typer.Option("--organizer", "--user", help="Whose it is; default: the first of dev.json."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the service's whole answer.")]
MeetingArgument = Annotated[
    str,
    typer.Argument(metavar="MEETING", help="Its joinMeetingId, link, thread id or subject."),
]
GuestArgument = Annotated[
    str, typer.Argument(metavar="GUEST", help="A participant id, or a name in the lobby.")
]

STATE_DIR = Path(".mixminus")
EXIT_CODES = {400: USAGE, 401: AUTH, 403: AUTH, 404: NOT_FOUND}


def register(app: typer.Typer) -> None:
    """Add the ``meeting`` commands."""
    group = typer.Typer(
        help="Make and list meetings, and let guests in from the lobby.", add_completion=False
    )
    for command in (create, lobby, admit, deny):
        group.command(command.__name__)(command)
    group.command("list")(list_meetings)
    app.add_typer(group, name="meeting")


def create(
    subject: Annotated[str, typer.Option(help="What it is about.")] = "",
    passcode: Annotated[bool, typer.Option(help="Whether joining by id takes a passcode.")] = True,
    waits: Annotated[
        bool, typer.Option("--lobby/--no-lobby", help="Whether guests wait to be admitted.")
    ] = True,
    channel: Annotated[bool, typer.Option("--channel", help="In a channel of its own.")] = False,
    user: OrganizerOption = "",
    state_dir: StateOption = STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Make a meeting; print what it is joined by."""
    body = {"subject": subject, "passcode": passcode, "lobby": waits, "channel": channel}
    meeting = _ask(state_dir, user, "POST", "", body)
    _print(meeting, as_json, _show_meeting)


def list_meetings(
    user: UserOption = "", state_dir: StateOption = STATE_DIR, as_json: JsonOption = False
) -> None:
    """List all meetings."""
    _print(_ask(state_dir, user, "GET", ""), as_json, _show_meetings)


def lobby(
    meeting: MeetingArgument,
    user: UserOption = "",
    state_dir: StateOption = STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """List who waits in the lobby."""
    path = _find(state_dir, user, meeting)
    _print(_ask(state_dir, user, "GET", f"{path}/lobby"), as_json, _show_lobby)


def admit(
    meeting: MeetingArgument,
    guest: GuestArgument,
    user: UserOption = "",
    state_dir: StateOption = STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Let a guest in."""
    _decide(state_dir, user, meeting, guest, "admit", as_json)


def deny(
    meeting: MeetingArgument,
    guest: GuestArgument,
    user: UserOption = "",
    state_dir: StateOption = STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Send a guest away."""
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
    """Send one request to the call service of *state_dir* and return its answer."""
    import httpx2

    from ..devfile import DevFile, DevFileError, UnknownUserError
    from ..tls import client_context

    try:
        dev = DevFile.load(state_dir)
        who = dev.find_user(user) if user else dev.users[0]
        context = client_context(dev.ca_file)
    except (DevFileError, UnknownUserError, OSError) as exc:
        raise CliError(str(exc), NOT_FOUND) from None
    try:
        with httpx2.Client(verify=context, trust_env=False, timeout=30.0) as http:
            response = http.request(
                method,
                f"{dev.graph_base_url}/mixminus/v1/meetings{path}",
                json=body,
                headers={"Authorization": f"Bearer {who.token}"},
            )
    except httpx2.HTTPError as exc:
        what = str(exc) or type(exc).__name__
        raise CliError(
            f"no call service answers at {dev.graph_base_url}: {what}: is `mixminus service --state"
            f" {state_dir}` running?",
            FAILED,
        ) from None
    answer = _parse(response.content)
    if response.status_code >= 400:
        message = answer.get("error", {}).get("message")
        message = message or f"the call service answered {response.status_code}"
        raise CliError(message, EXIT_CODES.get(response.status_code, FAILED))
    return answer


def _parse(content: bytes) -> Json:
    try:
        answer = json.loads(content) if content else {}
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _print(answer: Json, as_json: bool, show: Any) -> None:
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        show(answer)


def _show_meeting(meeting: Json) -> None:
    subject = meeting["subject"] or ("(ad hoc)" if meeting["isAdHoc"] else "(no subject)")
    print(f"{subject}, by {meeting['organizer']['displayName'] or meeting['organizer']['id']}")
    print(f"  join URL       {meeting['joinUrl']}")
    print(f"  thread id      {meeting['threadId']}")
    if meeting["messageId"] != "0":
        print(f"  message id     {meeting['messageId']}")
    print(f"  joinMeetingId  {meeting['joinMeetingId']}")
    print(f"  passcode       {meeting['passcode'] or '(none)'}")


def _show_meetings(answer: Json) -> None:
    for meeting in answer["value"]:
        _show_meeting(meeting)


def _show_lobby(answer: Json) -> None:
    for guest in answer["value"]:
        print(f"{guest['participantId']}  {guest['displayName'] or ''}  since {guest['since']}")
    if not answer["value"]:
        print("nobody waits")


def _show_decision(answer: Json) -> None:
    print(f"{answer['displayName'] or answer['participantId']}: {answer['decision']}")
