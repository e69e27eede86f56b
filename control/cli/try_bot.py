"""``mixminus try``: one command that lets a bot talk to people on this machine."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .demo import existing, until_terminated
from .errors import FAILED, NOT_FOUND, OK, USAGE, CliError, plugin_error, settings_error
from .plugin_options import PluginOption, plugin_specs

if TYPE_CHECKING:
    from ..demo.trial import TrialOptions, TrialResult
    from ..host import Bot

ROOT = Path(__file__).resolve().parents[2]


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
            show_default="a speech file of the repository",
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
) -> int:
    """Try a bot: an embedded call service, the bot, and people with softphones, in one process.

    A bot that takes calls is rung; one that makes calls finds people who answer. What each of them
    heard is OUT/heard-NAME.wav. Exits 1 when the bot failed, or nobody got through to it.

    Example: mixminus try examples/greeter_bot.py
    """
    from ..demo.trial import TrialOptions
    from ..softphone import KEYS, PAUSE

    if set(tones.upper()) - set(KEYS) - {PAUSE}:
        raise CliError(f"--tones: expected keys of {KEYS} and commas, got {tones!r}", USAGE)
    if silent and input_file is not None:
        raise CliError("expected one of --input and --silent, got both", USAGE)
    speech = existing(input_file or ROOT / "tests/data/speech.wav", "--input")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    bot = _load(bot_file)
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
    result = _carry_out(bot, options)
    for person in (*people, *callees):
        path = out_dir / f"heard-{person}.wav"
        if path.exists():
            print(f"wrote {path}")
    for problem in result.problems:
        print(problem)
    return FAILED if result.problems else OK


def _load(bot_file: Path) -> Bot:
    from ..host.bot import BotFileError, load_bot

    try:
        return load_bot(bot_file)
    except BotFileError as exc:
        raise CliError(str(exc), FAILED if bot_file.is_file() else NOT_FOUND) from exc


def _speech(path: Path) -> Any:
    from mixminus.media.pipeline import AudioFileError, load_audio

    try:
        return load_audio(path)
    except AudioFileError as exc:
        raise CliError(str(exc), FAILED) from None


def _carry_out(bot: Bot, options: TrialOptions) -> TrialResult:
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from mixminus.media.plugins.errors import PluginError

    from ..demo.trial import BotStartError, run_trial
    from ..devfile import UnknownUserError
    from .join import describe_event

    def say(person: str, event: str, fields: dict[str, Any]) -> None:
        if event not in ("progress", "registered", "waiting"):
            print(f"{person}: {describe_event(event, fields)}", flush=True)

    try:
        return asyncio.run(until_terminated(run_trial(bot, options, say)))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except UnknownUserError as exc:
        raise CliError(str(exc.args[0]), NOT_FOUND) from None
    except BotStartError as exc:
        raise CliError(str(exc)) from None
    except PluginError as exc:
        raise plugin_error(exc) from None
    except (ValidationError, SettingsError) as exc:
        raise settings_error(exc) from None
    except OSError as exc:
        if exc.filename is None:
            raise
        raise CliError(f"cannot write {exc.filename}: {exc.strerror}") from None
