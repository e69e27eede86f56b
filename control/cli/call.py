"""``mixminus call``: make, look at and end the calls of a running bot host."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from .errors import AUTH, FAILED, NOT_FOUND, USAGE, CliError

StateOption = Annotated[
    Path, typer.Option("--state", help="The state directory of the running `mixminus serve`.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the host's whole answer.")]

STATE_DIR = Path(".mixminus")


class Media(StrEnum):
    """Where a call's audio goes."""

    APP = "app"
    SERVICE = "service"


EXIT_CODES = {400: USAGE, 401: AUTH, 403: AUTH, 404: NOT_FOUND}


def register(app: typer.Typer) -> None:
    """Add the ``call`` commands."""
    group = typer.Typer(
        help="Make, look at and end the calls of a running bot host.", add_completion=False
    )
    group.command("create")(create)
    group.command("get")(get)
    group.command("hangup")(hangup)
    app.add_typer(group, name="call")


def create(
    user: Annotated[
        list[str] | None,
        typer.Option(help="Whom to call: an id, or a name of dev.json. Several: a group call."),
    ] = None,
    phone: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="A telephone to call, as +14255550123.")
    ] = None,
    meeting: Annotated[
        str | None, typer.Option(help="A meeting to join: its link, joinMeetingId or name.")
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
    state_dir: StateOption = STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Call a user, several, or a telephone; or join a meeting."""
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
        wish[_way_to(meeting)] = meeting
    wish |= {"passcode": passcode} if passcode is not None else {}
    wish |= {"guestName": guest} if guest is not None else {}
    _print(_ask(state_dir, "POST", "", wish), as_json)


def get(
    call_id: Annotated[str, typer.Argument(metavar="ID")],
    state_dir: StateOption = STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """Show a call: its states, and its frames at each hop."""
    _print(_ask(state_dir, "GET", _path(call_id)), as_json)


def hangup(
    call_id: Annotated[str, typer.Argument(metavar="ID")],
    state_dir: StateOption = STATE_DIR,
    as_json: JsonOption = False,
) -> None:
    """End a call, and wait until nothing of it is left."""
    _ask(state_dir, "DELETE", _path(call_id))
    _print(_ask(state_dir, "GET", _path(call_id)), as_json)


def _way_to(meeting: str) -> str:
    """Tell a join URL, a joinMeetingId and the name of a meeting apart."""
    if "/" in meeting:
        return "joinUrl"
    return "meeting" if any(character.isalpha() for character in meeting) else "joinMeetingId"


def _path(call_id: str) -> str:
    return f"/{quote(call_id, safe='')}"


def _ask(state_dir: Path, method: str, path: str, body: object = None) -> dict[str, Any]:
    """Send one request to the bot host of *state_dir* and return its answer."""
    import httpx2

    from ..host.hostfile import HostFile, HostFileError
    from ..tls import client_context

    try:
        host = HostFile.load(state_dir)
        context = client_context(host.ca_file)
    except (HostFileError, OSError) as exc:
        raise CliError(str(exc), NOT_FOUND) from None
    try:
        with httpx2.Client(verify=context, trust_env=False, timeout=30.0) as http:
            response = http.request(
                method,
                f"{host.url}/mixminus/v1/calls{path}",
                json=body,
                headers={"Authorization": f"Bearer {host.token}"},
            )
    except httpx2.HTTPError as exc:
        what = str(exc) or type(exc).__name__
        raise CliError(
            f"no bot host answers at {host.url}: {what}: is `mixminus serve --state {state_dir}`"
            " running?",
            FAILED,
        ) from None
    answer = _parse(response.content)
    if response.status_code >= 400:
        error = answer.get("error", {})
        message = error.get("message") or f"the bot host answered {response.status_code}"
        raise CliError(message, EXIT_CODES.get(response.status_code, FAILED))
    return answer


def _parse(content: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(content) if content else {}
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _print(call: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(call, indent=2))
        return
    user = call["user"]
    print(f"{call['callId']}  {call['state']}  {user['displayName'] or user['id'] or ''}".rstrip())
    for change in call["states"]:
        print(f"  {change['atMs'] / 1000.0:8.3f} s  {change['state']}")
    result = call["resultInfo"]
    if result is not None:
        print(f"  {result['code']}/{result['subcode']} {result['message']}")
    for person in call["participants"]:
        muted = ", muted" if person["isMuted"] else ""
        print(f"  with {person['displayName'] or person['id']}{muted}")
    if call["error"] is not None:
        print(f"  the bot failed: {call['error']}")
    for hop, leg in call["legs"].items():
        kinds = ("voice", "silence", "concealed", "skipped", "late")
        counts = ", ".join(f"{kind} {leg[kind]}" for kind in kinds)
        print(f"  {hop}: {counts}")
