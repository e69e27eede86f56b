"""``mixminus simulate``: ring a bot as a telephony service does, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import AUTH, FAILED, NOT_FOUND, OK, USAGE, CliError
from .output import JsonOption, print_json, printable, progress_bar
from .state_options import STATE_DIR, HostState

if TYPE_CHECKING:
    from ..host.hostfile import HostFile
    from ..simulate.keys import SimulatorKeys
    from ..simulate.report import SimulationReport
    from ..simulate.ring import RingOptions
    from ..simulate.services import Service

KEYPAD = "0123456789*#ABCD"
REFUSED_CODE = 1008

InputOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--input",
        help="What the caller says; once for each speaker.",
        metavar="FILE",
        show_default="three sentences of ours",
    ),
]
BotOption = Annotated[
    str | None,
    typer.Option("--bot", help="The bot's wss:// URL.", show_default="the running `serve`'s"),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="A WAV file for what the bot says.", metavar="FILE")
]
KeysOption = Annotated[str, typer.Option("--dtmf", help="Keys that are pressed after 1 s.")]
DurationOption = Annotated[
    float | None,
    typer.Option("--duration", min=0.1, max=86_400, help="Seconds.", show_default="the input's"),
]
CaOption = Annotated[
    Path | None,
    typer.Option("--ca", help="Who vouches for the bot.", show_default="the host's authority"),
]


def register(app: typer.Typer) -> None:
    """Add the ``simulate`` commands."""
    group = typer.Typer(
        help="Ring a bot as a telephony service does, offline.",
        add_completion=False,
        no_args_is_help=True,
    )
    group.command("acs")(acs)
    group.command("twilio")(twilio)
    group.command("keys")(keys)
    app.add_typer(group, name="simulate")


def acs(
    inputs: InputOption = None,
    bot: BotOption = None,
    out: OutOption = None,
    unmixed: Annotated[bool, typer.Option("--unmixed", help="Send each speaker apart.")] = False,
    rate_hz: Annotated[int, typer.Option("--rate", help="16000 or 24000.")] = 16_000,
    dtmf: KeysOption = "",
    reconnect_after_s: Annotated[
        float | None,
        typer.Option("--reconnect-after", min=0.1, help="Drop the socket then, and come back."),
    ] = None,
    duration_s: DurationOption = None,
    audience: Annotated[
        str | None, typer.Option(help="The token's audience.", show_default="the simulator's")
    ] = None,
    token: Annotated[str | None, typer.Option(help="Send this token instead of our own.")] = None,
    state_dir: HostState = STATE_DIR,
    ca_file: CaOption = None,
    as_json: JsonOption = False,
) -> int:
    """Ring a bot as Azure Communication Services does.

    The bot is that of the running `mixminus serve`, unless --bot says another. Exits 1 when the
    call broke or the bot said nothing, 4 when the bot's host refused the token.

    Example: mixminus simulate acs --input speech.wav --out heard.wav
    """
    from ..simulate.keys import RESOURCE_ID
    from ..simulate.services import SimulatedAcs

    if rate_hz not in (16_000, 24_000):
        raise CliError(f"--rate: expected 16000 or 24000, got {rate_hz}", USAGE)
    options = _options(
        "acs",
        inputs,
        bot,
        state_dir,
        duration_s=duration_s,
        is_unmixed=unmixed,
        keys=_checked_keys(dtmf),
        reconnect_after_s=reconnect_after_s,
        heard_file=_checked_out(out),
    )
    service = SimulatedAcs(
        _keys(state_dir), rate_hz=rate_hz, audience=audience or RESOURCE_ID, token=token
    )
    return _ring(service, options, ca_file or _authority(bot, state_dir), as_json)


def twilio(
    inputs: InputOption = None,
    bot: BotOption = None,
    out: OutOption = None,
    dtmf: KeysOption = "",
    duration_s: DurationOption = None,
    caller: Annotated[str, typer.Option("--from", help="Who calls.")] = "+15555550123",
    state_dir: HostState = STATE_DIR,
    ca_file: CaOption = None,
    as_json: JsonOption = False,
) -> int:
    """Ring a bot as Twilio's Media Streams do.

    The bot is that of the running `mixminus serve`, unless --bot says another. Exits 1 when the
    call broke or the bot said nothing, 4 when the bot's host refused it.

    Example: mixminus simulate twilio --input speech.wav --out heard.wav --dtmf 12#
    """
    from ..simulate.services import SimulatedTwilio

    options = _options(
        "twilio",
        inputs,
        bot,
        state_dir,
        duration_s=duration_s,
        keys=_checked_keys(dtmf),
        heard_file=_checked_out(out),
    )
    service = SimulatedTwilio(_keys(state_dir), caller=caller)
    return _ring(service, options, ca_file or _authority(bot, state_dir), as_json)


def keys(
    state_dir: HostState = STATE_DIR,
    _: Annotated[bool, typer.Option("--json", help="As without it: a JWKS is JSON.")] = False,
) -> None:
    """Print the key that the ACS simulator signs with, as a JWKS.

    The same is in STATE/simulate/acs-jwks.json, for MIXMINUS_ACS_KEYS_FILE.

    Example: mixminus simulate keys --state .mixminus > acs-jwks.json
    """
    print_json(_keys(state_dir).jwks())


def _keys(state_dir: Path) -> SimulatorKeys:
    from ..simulate.keys import FOLDER, SimulatorKeys

    try:
        return SimulatorKeys(state_dir / FOLDER)
    except OSError as exc:
        raise CliError(f"{state_dir}: {exc.strerror}") from None
    except ValueError as exc:
        raise CliError(str(exc)) from None


def _checked_keys(dtmf: str) -> str:
    wrong = [key for key in dtmf.upper() if key not in KEYPAD]
    if wrong:
        raise CliError(f"--dtmf: expected keys of {KEYPAD}, got {wrong[0]!r}", USAGE)
    return dtmf.upper()


def _checked_out(out: Path | None) -> Path | None:
    """Return *out* when it can be written, before anybody is rung."""
    if out is None:
        return None
    if out.suffix.lower() != ".wav":
        raise CliError(f"--out: expected a name that ends in .wav, got {out}", USAGE)
    if not out.parent.is_dir():
        raise CliError(f"--out: no directory {out.parent}", NOT_FOUND)
    return out


def _options(
    name: str, inputs: list[Path] | None, bot: str | None, state_dir: Path, **options: Any
) -> RingOptions:
    """Read the files and find the bot: nothing is made in the state directory before that."""
    from mixminus.media.pipeline import AudioFileError, load_audio

    from ..demo.files import SPEECH
    from ..simulate.ring import RingOptions

    if bot is not None and not bot.startswith("wss://"):
        raise CliError(f"--bot: expected a wss:// URL, got {bot!r:.80}", USAGE)
    speakers = []
    for path in inputs or [SPEECH]:
        if not path.is_file():
            raise CliError(f"--input: no file {path}", NOT_FOUND)
        try:
            speakers.append(load_audio(path))
        except AudioFileError as exc:
            raise CliError(str(exc)) from None
    url = bot or f"{_running_host(state_dir).url.replace('https://', 'wss://', 1)}/streams/{name}"
    return RingOptions(url=url, speakers=speakers, **options)


def _authority(bot: str | None, state_dir: Path) -> Path | None:
    """Return who vouches for the bot; None: the machine's roots."""
    if bot is None:
        return _running_host(state_dir).ca_file
    own = state_dir / "ca.pem"
    return own if own.exists() else None


def _ring(service: Service, options: RingOptions, ca_file: Path | None, as_json: bool) -> int:
    import asyncio

    from mixminus.media.transports.stream import StreamError

    from ..simulate.ring import ring
    from ..tls import client_context

    try:
        context = client_context(ca_file, system_roots=True)
        with progress_bar(f"ringing {options.url}", options.seconds) as bar:
            report = asyncio.run(ring(service, options, context, on_second=bar.advance_to))
    except StreamError as exc:
        raise CliError(str(exc)) from None
    except OSError as exc:
        raise CliError(f"{exc.filename or options.url}: {exc.strerror or exc}") from None
    _print(report, as_json)
    return _exit_code(report)


def _running_host(state_dir: Path) -> HostFile:
    from ..host.hostfile import HostFile, HostFileError

    try:
        return HostFile.load(state_dir)
    except HostFileError as exc:
        raise CliError(f"{exc}, or say --bot", NOT_FOUND) from None


def _print(report: SimulationReport, as_json: bool) -> None:
    if as_json:
        print_json(report.as_json())
        return
    for line in report.lines():
        print(printable(line))


def _exit_code(report: SimulationReport) -> int:
    if report.close_code == REFUSED_CODE:
        return AUTH
    is_broken = report.ended_by_bot is not None and report.close_code != 1000
    return FAILED if is_broken or not report.received_frames else OK
