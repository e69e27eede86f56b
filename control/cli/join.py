"""``mixminus join``: a softphone that plays a file into a call and records what it hears."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import AUTH, FAILED, INTERRUPTED, NOT_FOUND, OK, CliError

if TYPE_CHECKING:
    from mixminus.media.pcm import Pcm

    from ..softphone import SoftphoneOptions, SoftphoneReport


def register(app: typer.Typer) -> None:
    """Add the ``join`` command."""
    app.command("join")(join)


def join(
    user: Annotated[str, typer.Option(help="Who joins: a name or an id of dev.json.")],
    state: Annotated[
        Path, typer.Option(help="The call service's state directory, or its dev.json.")
    ] = Path(".mixminus"),
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
    report: Annotated[
        Path | None, typer.Option(help="Where to write counters and lateness (JSON).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> int:
    """Register as a user, answer the first call that rings, and talk until it ends.

    Ends by --duration, by the far end, or by Ctrl-C, which hangs up. Exits 1 when no audio flowed
    or the call failed, 3 for an unknown user, 4 when the service does not let the user in.

    Example: mixminus join --user John --play speech.wav --record heard.wav
    """
    import asyncio
    import logging

    from ..rtc_client import SignallingError, SignInError

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    for option, path in (("--record", record), ("--played", played), ("--report", report)):
        _check_file(option, path)
    options = _options(user, state, play, record, played, duration)
    try:
        result, stopped = asyncio.run(_run(options, as_json=as_json))
    except SignInError as exc:
        raise CliError(str(exc), AUTH) from None
    except SignallingError as exc:
        raise CliError(str(exc), FAILED) from None
    except OSError as exc:
        raise CliError(f"cannot write {exc.filename}: {exc.strerror}", FAILED) from None
    if report is not None:
        try:
            report.write_text(json.dumps(result.as_json()) + "\n")
        except OSError as exc:
            raise CliError(f"cannot write {report}: {exc.strerror}", FAILED) from None
    if result.succeeded:
        return OK
    return INTERRUPTED if stopped else FAILED


def _options(
    user: str,
    state: Path,
    play: Path | None,
    record: Path | None,
    played: Path | None,
    duration_s: float | None,
) -> SoftphoneOptions:
    """Check all that can be checked before anybody is called."""
    from ..devfile import DevFile, DevFileError, UnknownUserError
    from ..softphone import SoftphoneOptions
    from ..tls import client_context

    try:
        dev = DevFile.load(state)
        token = dev.find_user(user).token
        context = client_context(dev.ca_file)
    except (DevFileError, UnknownUserError) as exc:
        raise CliError(str(exc.args[0]), NOT_FOUND) from None
    except OSError as exc:
        raise CliError(f"cannot read the service's CA certificate: {exc}", NOT_FOUND) from None
    return SoftphoneOptions(
        rtc_url=dev.rtc_url,
        token=token,
        ssl_context=context,
        play=None if play is None else _load(play),
        heard_file=record,
        played_file=played,
        duration_s=duration_s,
    )


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


async def _run(options: SoftphoneOptions, *, as_json: bool) -> tuple[SoftphoneReport, bool]:
    """Run the softphone; say too whether a signal stopped it."""
    import asyncio
    import signal

    from ..softphone import Softphone

    stopped = asyncio.Event()
    phone = Softphone(options, _print_json if as_json else _print_text)

    def stop() -> None:
        stopped.set()
        phone.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return await phone.run(), stopped.is_set()


def _print_json(event: str, fields: dict[str, Any]) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def _print_text(event: str, fields: dict[str, Any]) -> None:
    match event:
        case "registered":
            line = (
                f"registered as {fields['user'].get('displayName', 'a user')}, waiting for a call"
            )
        case "ringing":
            who = (fields.get("from") or {}).get("displayName") or "an application"
            line = f"{who} calls"
        case "cancelled":
            line = f"the ringing was called off: {fields['reason']}; waiting for a call"
        case "progress":
            line = (
                f"{fields['seconds']} s: heard {fields['voice']} frames, "
                f"{fields['concealed']} concealed, said {fields['played']}"
            )
        case "ended":
            line = f"ended: {fields['message']}"
        case _:
            line = event
    print(line, flush=True)
