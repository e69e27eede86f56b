"""``mixminus replay``: a captured call, said again to a bot, offline and at once."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import FAILED, NOT_FOUND, OK, CliError
from .output import JsonOption, print_json

if TYPE_CHECKING:
    from ..replay.run import ReplayResult


def register(app: typer.Typer) -> None:
    """Add ``replay``."""
    app.command()(replay)


def replay(
    capture: Annotated[Path, typer.Argument(help="A call.mmcap, or the directory that holds it.")],
    bot_file: Annotated[Path, typer.Argument(metavar="BOT", help="A Python file with a Bot.")],
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Where to write said.wav, said-then.wav and what is recorded."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit 1 when the bot did not do what it did then.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Run a bot offline through a call that a host captured.

    A host captures with MIXMINUS_CAPTURE=true. Time is virtual: an hour takes as long as the bot
    needs for it. What the bot says is compared with what was said then, sample for sample. It must
    take its time from the frames, from asyncio.sleep or from loop.time(): what it does by
    time.time, time.monotonic, datetime.now or threads of its own is another each time. Exits 1
    when the bot failed.

    Example: mixminus replay .mixminus/recordings/20260101T120000Z-0a1b2c3d examples/echo_bot.py
    """
    from mixminus.media.replay import CAPTURE_NAME, CaptureError

    from ..host.bot import BotFileError, load_bot
    from ..replay.run import replay as run
    from .running import log_to_stderr

    path = capture / CAPTURE_NAME if capture.is_dir() else capture
    if not path.is_file():
        raise CliError(f"no capture {path}", NOT_FOUND)
    try:
        bot = load_bot(bot_file)
    except BotFileError as exc:
        raise CliError(str(exc), FAILED if bot_file.is_file() else NOT_FOUND) from exc
    recordings = None if out_dir is None else out_dir / "recordings"
    try:
        # What the bot prints is not part of the JSON.
        quiet = redirect_stdout(sys.stderr) if as_json else nullcontext()
        with log_to_stderr("warning", form="text"), quiet:
            result = run(path, bot, recordings=recordings)
        if out_dir is not None:
            _write(out_dir, result)
    except CaptureError as exc:
        raise CliError(f"{path}: {exc}", FAILED) from None
    except OSError as exc:
        raise CliError(f"{exc.filename or path}: {exc.strerror or exc}", FAILED) from None
    if as_json:
        print_json(_as_json(result))
    else:
        print(_as_text(result))
    return FAILED if result.bot_error or (check and not result.is_same) else OK


def _write(out_dir: Path, result: ReplayResult) -> None:
    from mixminus.media.pipeline import WavWriter

    out_dir.mkdir(parents=True, exist_ok=True)
    for name, pcm in (("said.wav", result.own), ("said-then.wav", result.captured_own)):
        with WavWriter(out_dir / name) as file:
            file.write(pcm)


def _as_json(result: ReplayResult) -> dict[str, Any]:
    return {
        "same": result.is_same,
        "frames": result.own_frames,
        "sameFrames": result.same_frames,
        "shiftFrames": result.shift_frames,
        "virtualS": round(result.virtual_s, 3),
        "realS": round(result.real_s, 3),
        "botError": result.bot_error,
        "requests": [
            {"method": asked.method, "path": asked.path, "inCapture": asked.was_answered}
            for asked in result.asked
        ],
        "keys": list(result.keys),
        "digest": result.digest,
    }


def _as_text(result: ReplayResult) -> str:
    speed = result.virtual_s / max(result.real_s, 1e-9)
    lines = [
        f"{result.virtual_s:.1f} s in {result.real_s:.1f} s: {speed:.0f} times real time",
        f"said the same in {result.same_frames} of {result.own_frames} frames"
        + (f", {result.shift_frames:+d} frames later" if result.shift_frames else ""),
    ]
    lines += [
        f"asked what it did not ask then: {asked.method} {asked.path}"
        for asked in result.asked
        if not asked.was_answered
    ]
    if result.bot_error is not None:
        lines.append(f"the bot failed: {result.bot_error}")
    lines.append(f"digest {result.digest[:16]}")
    return "\n".join(lines)
