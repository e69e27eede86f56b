"""``mixminus join``: a softphone that plays a file into a call and records what it hears."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..camel import camel_keys
from .completion import complete_meeting, complete_user
from .errors import AUTH, FAILED, INTERRUPTED, NOT_FOUND, OK, USAGE, CliError
from .output import JsonLinesOption, print_event, printable, progress_bar
from .state_options import STATE_DIR, ServiceState

if TYPE_CHECKING:
    from mixminus.media.pcm import Pcm

    from ..devfile import DevFile
    from ..softphone import (
        Action,
        BotTarget,
        MeetingTarget,
        OnEvent,
        SoftphoneOptions,
        SoftphoneReport,
    )

DEFAULT_BOT: Final = "default"


def register(app: typer.Typer) -> None:
    """Add the ``join`` command."""
    app.command("join")(join)


def join(
    user: Annotated[
        str,
        typer.Option(help="Who joins: a name or an id of dev.json.", autocompletion=complete_user),
    ],
    state: ServiceState = STATE_DIR,
    call_bot: Annotated[
        str | None,
        typer.Option(
            metavar="APP_ID",
            help="Ring this application; `default` is the one of dev.json.",
        ),
    ] = None,
    policy_recording: Annotated[
        bool,
        typer.Option("--policy-recording", help="With --call-bot: as a recorded line (5 s)."),
    ] = False,
    meeting: Annotated[
        str | None,
        typer.Option(
            metavar="MEETING",
            help="Join it: by join URL, joinMeetingId, thread id, or its subject in dev.json.",
            autocompletion=complete_meeting,
        ),
    ] = None,
    passcode: Annotated[
        str | None, typer.Option(help="The passcode of --meeting, when it is a joinMeetingId.")
    ] = None,
    play: Annotated[
        Path | None,
        typer.Option(help="What is said: wav, flac, ogg/opus, mp3, m4a or webm. Looped."),
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Where to write what is heard (WAV).")] = None,
    played: Annotated[
        Path | None,
        typer.Option(help="Where to write what was said, on the timeline of --record (WAV)."),
    ] = None,
    duration: Annotated[
        float | None, typer.Option(min=0.1, help="Hang up after so many seconds of talk.")
    ] = None,
    mute: Annotated[bool, typer.Option("--mute", help="Be muted from the start.")] = False,
    tones: Annotated[
        str | None,
        typer.Option(
            metavar="KEYS", help="Press these keys at the start: 0-9 * # A-D; a comma waits 1 s."
        ),
    ] = None,
    in_band: Annotated[
        bool, typer.Option("--in-band", help="Play --tones as sound instead of signalling them.")
    ] = False,
    hold_after: Annotated[
        float | None, typer.Option(min=0.0, help="Put the call on hold after so many seconds.")
    ] = None,
    hold_for: Annotated[
        float | None,
        typer.Option(min=0.0, help="Take it up again so much later.", show_default="until the end"),
    ] = None,
    share: Annotated[
        bool,
        typer.Option(
            "--share", help="Share content: begins after 1 s, next slide at 2 s, ends at 3 s."
        ),
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Where to write counters and lateness (JSON).")
    ] = None,
    as_json: JsonLinesOption = False,
) -> int:
    """Talk as a user: answer or make a call, or join a meeting.

    Without --call-bot and --meeting it answers the first call that rings. In a meeting with a lobby
    it waits there until it is admitted; the talk, and --duration, begin then.

    Ends by --duration, by the far end, or by Ctrl-C, which hangs up. When the service is lost for a
    while, the call is taken up again. What is shared has no picture: applications are told of it,
    video itself stays inactive. Exits 1 when no audio flowed or the call failed, 2 for options that
    do not go together, 3 for an unknown user or meeting name, 4 when the service does not let the
    user in.

    Example: mixminus join --user John --play speech.wav --record heard.wav

    Example: mixminus join --user John --call-bot default --tones 1,2#

    Example: mixminus join --user Alice --meeting "Weekly sync" --share
    """
    import asyncio

    from ..rtc_client import SignallingError, SignInError
    from .running import log_to_stderr

    for option, path in (("--record", record), ("--played", played), ("--report", report)):
        _check_file(option, path)
    actions = _actions(tones, hold_after, hold_for, in_band=in_band, share=share)
    wanted = _Wanted(call_bot, meeting, passcode, policy_recording)
    options = replace(
        _options(user, state, wanted),
        play=None if play is None else _load(play),
        heard_file=record,
        played_file=played,
        duration_s=duration,
        muted=mute,
        actions=actions,
    )
    try:
        logs = log_to_stderr("warning", form="text")
        with logs, _following(duration, as_json=as_json) as on_event:
            result, stopped = asyncio.run(_run(options, on_event))
    except SignInError as exc:
        raise CliError(str(exc), AUTH) from None
    except SignallingError as exc:
        is_unreachable = isinstance(exc.__cause__, OSError)
        hint = f": is `mixminus service --state {state}` running?" if is_unreachable else ""
        raise CliError(f"{exc}{hint}", FAILED) from None
    except OSError as exc:
        raise CliError(f"cannot write {exc.filename}: {exc.strerror}", FAILED) from None
    if report is not None:
        try:
            report.write_text(json.dumps(camel_keys(result.as_json())) + "\n")
        except OSError as exc:
            raise CliError(f"cannot write {report}: {exc.strerror}", FAILED) from None
    if result.succeeded:
        return OK
    return INTERRUPTED if stopped else FAILED


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Whom to call, as it was typed."""

    call_bot: str | None
    meeting: str | None
    passcode: str | None
    policy_recording: bool

    def check(self) -> None:
        """Refuse what does not go together."""
        if self.call_bot is not None and self.meeting is not None:
            raise CliError("expected one of --call-bot and --meeting, got both", USAGE)
        if self.policy_recording and self.call_bot is None:
            raise CliError("--policy-recording: expected --call-bot with it", USAGE)
        if self.passcode is not None and self.meeting is None:
            raise CliError("--passcode: expected --meeting with it", USAGE)


def _options(user: str, state: Path, wanted: _Wanted) -> SoftphoneOptions:
    """Check all that can be checked before anybody is called."""
    from ..devfile import DevFile, DevFileError, UnknownUserError
    from ..softphone import SoftphoneOptions
    from ..tls import client_context

    wanted.check()
    try:
        dev = DevFile.load(state)
        token = dev.find_user(user).token
        context = client_context(dev.ca_file)
    except (DevFileError, UnknownUserError) as exc:
        raise CliError(str(exc.args[0]), NOT_FOUND) from None
    except OSError as exc:
        raise CliError(f"cannot read the service's CA certificate: {exc}", NOT_FOUND) from None
    return SoftphoneOptions(
        rtc_url=dev.rtc_url, token=token, ssl_context=context, target=_target(dev, wanted)
    )


def _target(dev: DevFile, wanted: _Wanted) -> BotTarget | MeetingTarget | None:
    from ..softphone import BotTarget

    if wanted.call_bot is not None:
        app_id = dev.app_id if wanted.call_bot == DEFAULT_BOT else wanted.call_bot.strip()
        if not app_id:
            raise CliError("--call-bot: expected an application's id, or `default`", USAGE)
        return BotTarget(app_id, policy_recording=wanted.policy_recording)
    if wanted.meeting is not None:
        return _meeting_target(dev, wanted.meeting.strip(), wanted.passcode)
    return None


def _meeting_target(dev: DevFile, meeting: str, passcode: str | None) -> MeetingTarget:
    """Tell a join URL, a thread id, a joinMeetingId and a meeting's subject apart."""
    from ..graph.joinurl import JoinUrlError, parse_join_meeting_id, parse_join_url
    from ..softphone import MeetingTarget

    for known in dev.meetings:
        if known.subject.casefold() == meeting.casefold():
            code = known.passcode if passcode is None else passcode
            return MeetingTarget(join_meeting_id=known.join_meeting_id, passcode=code)
    if meeting.startswith("19:"):
        return MeetingTarget(thread_id=meeting)
    try:
        if "/" in meeting:
            parse_join_url(meeting)
            return MeetingTarget(join_url=meeting, passcode=passcode)
        return MeetingTarget(join_meeting_id=parse_join_meeting_id(meeting), passcode=passcode)
    except JoinUrlError as exc:
        if "/" in meeting or not any(character.isalpha() for character in meeting):
            raise CliError(f"--meeting: {exc}", USAGE) from None
        names = ", ".join(f"{known.subject!r}" for known in dev.meetings) or "none"
        raise CliError(
            "--meeting: expected a join URL, a joinMeetingId, a thread id (19:...) or the subject "
            f"of a meeting of dev.json ({names}), got {meeting!r}",
            NOT_FOUND,
        ) from None


def _actions(
    tones: str | None,
    hold_after_s: float | None,
    hold_for_s: float | None,
    *,
    in_band: bool,
    share: bool,
) -> tuple[Action, ...]:
    """Return what is done during the talk, and when."""
    from ..softphone import KEYS, PAUSE, Action

    actions: list[Action] = []
    if tones is not None:
        wrong = set(tones.upper()) - set(KEYS) - {PAUSE}
        if wrong or not tones:
            raise CliError(f"--tones: expected keys of {KEYS} and commas, got {tones!r}", USAGE)
        actions.append(Action(0.0, "pressInBand" if in_band else "press", tones))
    elif in_band:
        raise CliError("--in-band: expected --tones with it", USAGE)
    if hold_after_s is not None:
        actions.append(Action(hold_after_s, "hold"))
        if hold_for_s is not None:
            actions.append(Action(hold_after_s + hold_for_s, "resume"))
    elif hold_for_s is not None:
        raise CliError("--hold-for: expected --hold-after with it", USAGE)
    if share:
        actions += [Action(1.0, "start"), Action(2.0, "update"), Action(3.0, "stop")]
    return tuple(actions)


def _check_file(option: str, path: Path | None) -> None:
    """Refuse a file that cannot be made, before anybody is called."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise CliError(f"{option}: expected a file in a directory that exists, got {path}")
    if path.is_dir():
        raise CliError(f"{option}: expected a file, got the directory {path}")


def _load(path: Path) -> Pcm:
    from mixminus.media.pipeline import AudioFileError, is_silent, load_audio

    try:
        pcm = load_audio(path)
    except AudioFileError as exc:
        raise CliError(str(exc), FAILED) from None
    if is_silent(pcm):
        raise CliError(f"{path} is silent: nobody would hear anything", FAILED)
    return pcm


async def _run(options: SoftphoneOptions, on_event: OnEvent) -> tuple[SoftphoneReport, bool]:
    """Run the softphone; say too whether a signal stopped it."""
    import asyncio
    import signal

    from ..softphone import Softphone

    stopped = asyncio.Event()
    phone = Softphone(options, on_event)

    def stop() -> None:
        stopped.set()
        phone.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return await phone.run(), stopped.is_set()


@contextmanager
def _following(duration_s: float | None, *, as_json: bool) -> Iterator[OnEvent]:
    """Print what happens: as JSON, as lines, or on a terminal as lines above a bar."""
    if as_json:
        yield lambda event, fields: print_event(event, fields, True, ())
        return
    with progress_bar("talking", duration_s) as bar:

        def say(event: str, fields: dict[str, Any]) -> None:
            if event == "progress" and bar.is_shown:
                bar.advance_to(fields["seconds"])
            else:
                bar.say(printable(describe_event(event, fields)))

        yield say


def describe_event(event: str, fields: dict[str, Any]) -> str:
    """Say an event in one line for a person."""
    match event:
        case "registered":
            return f"registered as {fields['user'].get('displayName', 'a user')}"
        case "waiting":
            return "waiting for a call"
        case "ringing":
            return f"{(fields.get('from') or {}).get('displayName') or 'an application'} calls"
        case "calling":
            return "ringing the bot"
        case "joined" if fields["inLobby"]:
            return "in the lobby, waiting to be admitted"
        case "joined":
            return "in the meeting"
        case "cancelled":
            return f"the ringing was called off: {fields['reason']}"
        case "progress":
            return (
                f"{fields['seconds']} s: heard {fields['voice']} frames, "
                f"{fields['concealed']} concealed, said {fields['played']}"
            )
        case "pressed":
            return f"pressed {fields['tone']}{' as sound' if fields['inBand'] else ''}"
        case "tone":
            return f"the far end pressed {fields['tone']}"
        case "muted":
            return f"{'muted' if fields['muted'] else 'no longer muted'}{_by(fields)}"
        case "held":
            return f"{'on hold' if fields['held'] else 'no longer on hold'}{_by(fields)}"
        case "sharing":
            return f"sharing content: {fields['action']}"
        case "media":
            heard = "this phone again" if fields["flows"] else "nothing of this phone"
            return f"the service hears {heard}"
        case "partyMedia":
            return f"the far end {'is heard again' if fields['flows'] else 'is not heard any more'}"
        case "moved":
            return "moved into another conversation; the call goes on"
        case "refused":
            return f"refused: {fields['message']}"
        case "signallingLost":
            return f"{fields['message']}; connecting again"
        case "ended":
            return f"ended: {fields['message']}"
        case _:
            return event


def _by(fields: dict[str, Any]) -> str:
    return " by the service" if fields.get("by") == "service" else ""
