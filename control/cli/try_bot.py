"""``mixminus try``: one command that lets a bot talk to people on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .demo import existing
from .errors import FAILED, NOT_FOUND, OK, USAGE, CliError
from .output import JsonOption, print_json, printable, progress_bar
from .plugin_options import PluginOption, plugin_specs

if TYPE_CHECKING:
    from ..demo.trial import TrialOptions, TrialResult
    from ..host import Bot

OnEvent = Callable[[str, str, dict[str, Any]], None]


def register(app: typer.Typer) -> None:
    """Add ``try``."""
    app.command("try")(try_bot)


def try_bot(
    bot_file: Annotated[Path, typer.Argument(metavar="FILE", help="A Python file with a Bot.")],
    user: Annotated[
        list[str] | None,
        typer.Option(
            help="Who talks to it: John, Alice, Bob. Several: the first speaks, all listen.",
            show_default="John",
        ),
    ] = None,
    callee: Annotated[
        list[str] | None, typer.Option(help="Who waits to be called by the bot, and listens.")
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help="What the first says: wav, flac, ogg/opus, mp3, m4a or webm; again and again.",
            show_default="three sentences of ours",
        ),
    ] = None,
    silent: Annotated[bool, typer.Option("--silent", help="Say nothing.")] = False,
    tones: Annotated[
        str, typer.Option(metavar="KEYS", help="Keys the first presses; a comma waits a second.")
    ] = "",
    duration_s: Annotated[
        float, typer.Option("--duration", min=1, max=3600, help="Length of the talk, seconds.")
    ] = 10.0,
    meeting: Annotated[
        bool, typer.Option("--meeting", help="Join the meeting that the bot joins.")
    ] = False,
    policy_recording: Annotated[
        bool, typer.Option("--policy-recording", help="Ring it as a recorded line does.")
    ] = False,
    plugins: PluginOption = None,
    out_dir: Annotated[Path, typer.Option("--out", help="Where the results go.")] = Path("try-out"),
    as_json: JsonOption = False,
) -> int:
    """Try a bot: let people with softphones talk to it.

    An embedded call service, the bot and the people run in one process. A bot that takes calls is
    rung; one that makes calls finds people who answer. What each of them heard is
    OUT/heard-NAME.wav. Exits 1 when the bot failed, or nobody got through to it.

    Example: mixminus try examples/greeter_bot.py

    Example: mixminus try examples/ivr_bot.py --tones ,,1 --duration 20
    """
    from ..demo.files import SPEECH
    from ..demo.trial import TrialOptions
    from ..softphone import KEYS, PAUSE
    from .running import load_bot_file, log_to_stderr

    if set(tones.upper()) - set(KEYS) - {PAUSE}:
        raise CliError(f"--tones: expected keys of {KEYS} and commas, got {tones!r}", USAGE)
    if silent and input_file is not None:
        raise CliError("expected one of --input and --silent, got both", USAGE)
    speech = existing(input_file or SPEECH, "--input")
    bot = load_bot_file(bot_file)
    if bot.start_handler is None and bot.incoming_handler is None:
        raise CliError(
            f"{bot_file}: expected a bot with @bot.on_incoming_call, which answers calls, or with"
            " @bot.on_start, which makes them; without either no call comes about"
        )
    people, callees = tuple(dict.fromkeys(user or ["John"])), tuple(dict.fromkeys(callee or []))
    if twice := set(people) & set(callees):
        raise CliError(f"--callee: expected somebody else than --user, got {min(twice)}", USAGE)
    options = TrialOptions(
        people=people,
        callees=callees,
        speech=None if silent else _speech(speech),
        keys=tones,
        duration_s=duration_s,
        meeting=meeting,
        policy_recording=policy_recording,
        out_dir=out_dir,
        plugins=plugin_specs(plugins) if plugins else None,
    )
    with log_to_stderr("warning", form="text"), _following(duration_s, as_json=as_json) as on_event:
        result = _carry_out(bot, options, on_event)
    heard = {person: out_dir / f"heard-{person}.wav" for person in (*people, *callees)}
    written = {person: str(path) for person, path in heard.items() if path.exists()}
    if as_json:
        print_json(_as_json(result, written))
    else:
        for name in written.values():
            print(f"wrote {name}")
        for problem in result.problems:
            print(problem)
    return FAILED if result.problems else OK


def _as_json(result: TrialResult, written: dict[str, str]) -> dict[str, Any]:
    return {
        "ok": not result.problems,
        "problems": result.problems,
        "people": [
            {
                "name": person,
                "callId": report.call_id,
                "connectedAt": report.connected_at,
                "ended": None if report.end is None else report.end.message,
                "heardFile": written.get(person),
            }
            for person, report in result.reports.items()
        ],
    }


@contextmanager
def _following(duration_s: float, *, as_json: bool) -> Iterator[OnEvent]:
    """Print what happens to whom, above a bar on a terminal; with *as_json* nothing of it."""
    from .join import describe_event

    if as_json:
        yield lambda person, event, fields: None
        return
    with progress_bar("talking", duration_s) as bar:

        def say(person: str, event: str, fields: dict[str, Any]) -> None:
            if event == "progress":
                bar.advance_to(fields["seconds"])
            elif event not in ("registered", "waiting"):
                bar.say(f"{person}: {printable(describe_event(event, fields))}")

        yield say


def _speech(path: Path) -> Any:
    from mixminus.media.pipeline import AudioFileError, load_audio

    try:
        return load_audio(path)
    except AudioFileError as exc:
        raise CliError(str(exc), FAILED) from None


def _carry_out(bot: Bot, options: TrialOptions, on_event: OnEvent) -> TrialResult:
    import asyncio

    from ..demo.trial import BotStartError, run_trial
    from ..devfile import UnknownUserError
    from .running import start_errors, until_terminated

    try:
        with start_errors(files=False):
            return asyncio.run(until_terminated(run_trial(bot, options, on_event)))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except UnknownUserError as exc:
        raise CliError(str(exc.args[0]), NOT_FOUND) from None
    except OSError as exc:
        if exc.filename is None:
            raise
        raise CliError(f"cannot write {exc.filename}: {exc.strerror}") from None
    except BotStartError as exc:
        raise CliError(str(exc)) from None
